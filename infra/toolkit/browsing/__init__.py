"""Use an app in a real browser: find one, look at the page, write down what happens."""
