//! Programs are found beside the tests, heard, and ended.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use testkit::{Program, Running};

const SOON: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Running {
    Program::at("/bin/sh")
        .args(["-c", script])
        .env("WORD", "here")
        .spawn()
        .expect("a shell")
}

#[tokio::test]
async fn both_outputs_are_heard_and_the_end_is_orderly() {
    let mut program = shell(
        "trap 'echo bye; exit 3' TERM; echo out $WORD; echo err $WORD >&2; while :; do sleep 0.1; done",
    );
    assert_eq!(
        program.wait_for_line("out", SOON).await.expect("a line"),
        "out here"
    );
    assert_eq!(
        program.wait_for_line("err", SOON).await.expect("a line"),
        "err here"
    );

    program.terminate().expect("it runs");

    assert_eq!(program.wait(SOON).await.expect("it ends").code(), Some(3));
    program
        .wait_for_line("bye", SOON)
        .await
        .expect("its last line");
}

#[tokio::test]
async fn a_program_that_ends_without_the_line_is_quoted() {
    let mut program = shell("echo something else; exit 1");
    let error = program
        .wait_for_line("ready", SOON)
        .await
        .expect_err("there is no such line");
    assert_eq!(
        error.to_string(),
        "sh ended without a line \"ready\":\nsomething else"
    );
}

#[tokio::test]
async fn a_killed_program_takes_its_children_along() {
    let mut program = shell("sleep 600 & echo child $!; wait");
    let line = program.wait_for_line("child", SOON).await.expect("a line");
    let child = line.trim_start_matches("child ").to_owned();
    program.freeze().expect("it runs");

    program.kill().expect("it runs");

    let status = program.wait(SOON).await.expect("it has ended");
    assert_eq!(status.signal(), Some(9));
    let exe = format!("/proc/{child}/exe");
    testkit::wait_until("the child is gone", SOON, async || {
        std::fs::read_link(&exe).is_err()
    })
    .await;
}

#[test]
fn a_program_that_is_not_built_is_asked_for_by_name() {
    let error = Program::new("spillway-unheard-of")
        .spawn()
        .expect_err("there is none");
    assert_eq!(
        error.to_string(),
        "spillway-unheard-of has not been built: run `cargo build --workspace` first \
         (`cargo xtask test` does)"
    );
}
