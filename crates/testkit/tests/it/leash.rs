//! Nothing outlives the process that started it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use testkit::{Postgres, Program, Redis, wait_until};

/// Tells this test binary, started again by a test, to be the owner that gets killed.
const OWNER: &str = "TESTKIT_OWNER";

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn servers_and_programs_die_with_their_process() {
    let mut owner = Owner::start();
    let [redis, postgres, program] = owner.pids();
    let folders = [folder_of(redis), folder_of(postgres)];
    assert!(folders.iter().all(|folder| folder.is_dir()));
    assert!(is_running(program));

    owner.0.kill().expect("SIGKILL is always allowed");
    owner.0.wait().expect("our child");

    let all = [redis, postgres, program];
    wait_until("all are gone", SOON, async || {
        !all.into_iter().any(is_running)
    })
    .await;
    wait_until("their folders are gone", SOON, async || {
        !folders.iter().any(|f| f.exists())
    })
    .await;
}

#[tokio::test]
async fn a_frozen_server_is_ended_by_a_drop() {
    let mut redis = Redis::start().await.expect("redis starts");
    let pid = redis.pid().expect("it runs");
    let folder = folder_of(pid);
    redis.freeze().expect("it runs");

    drop(redis);

    assert!(!is_running(pid), "the server still runs");
    assert!(!folder.exists(), "{} is still there", folder.display());
}

/// Not a test of its own: the process that `servers_and_programs_die_with_their_process` kills.
#[tokio::test]
async fn owner_of_servers() {
    if std::env::var_os(OWNER).is_none() {
        return;
    }
    let redis = Redis::start().await.expect("redis starts");
    let postgres = Postgres::start().await.expect("postgres starts");
    let program = Program::at("/bin/sleep")
        .arg("600")
        .spawn()
        .expect("sleep starts");
    let servers = [redis.pid(), postgres.pid()].map(|pid| pid.expect("it runs"));
    // To the real standard output: the harness captures what the print macros write.
    let mut output = std::io::stdout();
    writeln!(
        output,
        "\npids {} {} {}",
        servers[0],
        servers[1],
        program.pid()
    )
    .expect("a reader");
    std::future::pending::<()>().await;
}

/// This test binary, started again to own servers and be killed.
struct Owner(Child);

impl Owner {
    fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        command
            .args(["--exact", "leash::owner_of_servers", "--nocapture"])
            .env(OWNER, "1");
        Self(
            command
                .stdout(Stdio::piped())
                .spawn()
                .expect("this very binary"),
        )
    }

    fn pids(&mut self) -> [u32; 3] {
        let output = BufReader::new(self.0.stdout.take().expect("piped"));
        let pids = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("pids ").map(str::to_owned))
            .expect("the owner started its servers");
        let pids: Vec<u32> = pids
            .split(' ')
            .map(|pid| pid.parse().expect("a pid"))
            .collect();
        pids.try_into().expect("three of them")
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // It may be dead already; a failing test must not leave it running.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Servers work in the folder of their leash.
fn folder_of(pid: u32) -> PathBuf {
    std::fs::read_link(format!("/proc/{pid}/cwd")).expect("a running process of ours")
}

/// A zombie has ended; it only waits for somebody to take note.
fn is_running(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}/exe")).read_link().is_ok()
}
