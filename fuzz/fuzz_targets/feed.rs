//! Any bytes as a feed.
#![no_main]

use gristmill_content::parse_feed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let url = "https://mill.example/feed".parse().expect("it is an address");
    let _answer = parse_feed(bytes, None, &url);
});
