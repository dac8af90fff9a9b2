//! `docs/settings.md` is what the table of settings prints.

use std::fs;
use std::path::Path;

#[test]
fn the_page_about_settings_is_printed_from_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/settings.md");
    let printed = xds::settings_document();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &printed).expect("the page");
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == printed,
        "docs/settings.md is not what the table says: run with UPDATE=1"
    );
}
