var e=globalThis.parcelRequire5b12,t=e.register;t("9jQA6",function(t,r){Object.defineProperty(t.exports,"text",{get:()=>i,set:void 0,enumerable:!0,configurable:!0});let i="lazy "+new URL(e("iReNu"))}),t("iReNu",function(e,t){e.exports=import.meta.resolve("boAMA")});

