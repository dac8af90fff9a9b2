//! The files of `docs/deploy/` are what `docs/deploy.md` shows, and fit together and to the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Json {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_page_shows_the_files_word_by_word() {
    let page = read("docs/deploy.md");
    for (file, language) in [
        ("config.yaml", "yaml"),
        ("compose.yaml", "yaml"),
        ("Containerfile", "dockerfile"),
    ] {
        let shown = format!("```{language}\n{}```\n", read(&format!("docs/deploy/{file}")));
        assert!(page.contains(&shown), "docs/deploy.md does not show {file} as it is");
        assert!(
            page.contains(&format!("(deploy/{file})")),
            "docs/deploy.md has no link to {file}"
        );
    }
}

#[test]
fn the_container_takes_what_is_there_to_where_the_configuration_looks() {
    let file = read("docs/deploy/Containerfile");
    let copies: Vec<Vec<&str>> = file
        .lines()
        .filter_map(|line| Some(line.strip_prefix("COPY ")?.split_whitespace().collect()))
        .collect();
    let mut to = BTreeSet::new();
    for copy in &copies {
        match copy[..] {
            ["--from=build", from, target] => {
                assert_eq!(from, "/src/target/release/libxds.so");
                to.insert(target);
            }
            [".", "."] => {}
            [from, target] => {
                assert!(root().join(from).is_dir(), "{from}");
                to.insert(target);
            }
            _ => panic!("{copy:?}"),
        }
    }
    let expected = [
        "/usr/local/amesh/libxds.so",
        "/usr/local/amesh/lua/amesh",
        "/usr/local/amesh/lua/apisix",
    ];
    assert_eq!(to, BTreeSet::from(expected));
    let apisix = &yaml("docs/deploy/config.yaml")["apisix"];
    assert_eq!(apisix["extra_lua_path"], "/usr/local/amesh/lua/?.lua");
    assert_eq!(apisix["extra_lua_cpath"], "/usr/local/amesh/?.so");

    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split('"').nth(1).expect("a version");
    assert!(
        file.contains(&format!("rust:{channel}-bullseye ")),
        "another Rust than {channel}"
    );
}

#[test]
fn the_container_opens_the_ports_of_the_configuration() {
    let (compose, config) = (yaml("docs/deploy/compose.yaml"), yaml("docs/deploy/config.yaml"));
    let gateway = &compose["services"]["gateway"];
    let port = &config["apisix"]["node_listen"][0]["port"];
    assert_eq!(gateway["ports"], serde_json::json!([format!("{port}:{port}")]));
    let look = gateway["healthcheck"]["test"][3].as_str().expect("a command");
    let status = format!("/127.0.0.1/{};", config["apisix"]["status"]["port"]);
    assert!(look.contains(&status), "{look}");
    let folder = root()
        .join("docs/deploy")
        .join(gateway["build"]["context"].as_str().expect("a folder"));
    assert!(
        folder
            .join(gateway["build"]["dockerfile"].as_str().expect("a file"))
            .is_file()
    );
}

#[test]
fn the_settings_of_the_configuration_are_settings() {
    let (settings, page) = (read("docs/settings.md"), read("docs/deploy.md"));
    let config = yaml("docs/deploy/config.yaml");
    let given = config["plugin_attr"]["amesh"].as_object().expect("settings");
    assert!(!given.is_empty());
    for name in given.keys() {
        let row = format!("| `{name}` |");
        assert!(settings.contains(&row) || page.contains(&row), "{name} is no setting");
    }
}
