#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| airgate_identity::fuzz::proof(bytes));
