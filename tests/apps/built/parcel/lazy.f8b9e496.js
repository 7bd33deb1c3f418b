var e=globalThis.parcelRequire5b12,r=e.register;r("9jQA6",function(r,t){Object.defineProperty(r.exports,"text",{get:()=>o,set:void 0,enumerable:!0,configurable:!0});let o="lazy "+new URL(e("8LZGc"))}),r("8LZGc",function(e,r){e.exports=import.meta.resolve("f3Jr9")});

