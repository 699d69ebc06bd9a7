use super::*;

#[test]
fn the_shipped_definitions_are_valid() {
    for shipped in shipped::ALL {
        let definition = Definition::parse(shipped.file, shipped.text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let again = Definition::parse("canonical", &definition.canonical());
        assert_eq!(again, Ok(definition), "{}", shipped.file);
    }
}
