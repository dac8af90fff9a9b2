//! Colours: on a terminal only, and as the usual variables say.

use crate::{GATEWAY, command};

const ESCAPE: char = '\u{1b}';

fn findings(variables: &[(&str, &str)]) -> String {
    let mut command = command(&["translate", GATEWAY]);
    command.envs(variables.iter().copied());
    let run: crate::Run = command.output().expect("the binary runs").into();
    assert!(!run.stdout.contains(ESCAPE), "the configuration is never coloured");
    run.stderr
}

#[test]
fn no_terminal_no_colours() {
    assert!(!findings(&[]).contains(ESCAPE));
}

#[test]
fn colours_can_be_forced_and_forbidden() {
    assert!(findings(&[("CLICOLOR_FORCE", "1")]).contains(ESCAPE));
    assert!(!findings(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]).contains(ESCAPE));
}
