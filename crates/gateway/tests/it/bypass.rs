//! INVARIANT 2 of the design: leaving out a stage is a compile error.

#[test]
fn skipping_a_stage_does_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}
