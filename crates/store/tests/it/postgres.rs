//! Where tests have their PostgreSQL from. The server's tests take this file too.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A fresh database on a server: that of `MISORA_TEST_POSTGRES_URL`, or one that this process starts for itself.
pub(crate) async fn postgres_database() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = match std::env::var("MISORA_TEST_POSTGRES_URL") {
        Ok(url) => url,
        Err(_) => private_server(),
    };
    let name = format!("misora_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect(&server).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
    let (before, query) = server.split_once('?').map_or((server.as_str(), ""), |(before, query)| (before, query));
    let base = before.rsplit_once('/').unwrap().0;
    if query.is_empty() { format!("{base}/{name}") } else { format!("{base}/{name}?{query}") }
}

/// A PostgreSQL in a temporary folder, on a socket alone. A shell watches this process's end of a pipe: when the process
/// is gone, however it went, the server stops and the folder is deleted.
fn private_server() -> String {
    static SERVER: OnceLock<(String, Child)> = OnceLock::new();
    let start = || {
        let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
            .map(|entries| entries.map(|entry| entry.unwrap().path().join("bin")).collect())
            .unwrap_or_default();
        versions.sort();
        let bin: PathBuf = versions.into_iter().rfind(|bin| bin.join("initdb").exists()).expect(
            "these tests need PostgreSQL: install it (apt-get install postgresql), or set MISORA_TEST_POSTGRES_URL",
        );
        let script = r#"
            set -e
            dir=$(mktemp -d /tmp/misora-postgres.XXXXXX)
            run() { "$@"; }
            if [ "$(id -u)" = 0 ]; then
                chown postgres "$dir"
                run() { runuser -u postgres -- "$@"; }
            fi
            cd /
            run "$BIN/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --no-sync >"$dir/log" 2>&1
            run "$BIN/pg_ctl" -D "$dir/data" -w -l "$dir/server.log" \
                -o "-k $dir -c listen_addresses='' -c fsync=off -c full_page_writes=off -c max_connections=400" start >>"$dir/log" 2>&1
            echo "$dir"
            exec >/dev/null
            cat >/dev/null
            run "$BIN/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1
            rm -rf "$dir"
        "#;
        let mut child = Command::new("sh")
            .args(["-c", script])
            .env("BIN", bin)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C at the tests must not end the shell before it has stopped the server.
            .process_group(0)
            .spawn()
            .unwrap();
        let mut folder = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut folder).unwrap();
        assert!(!folder.is_empty(), "PostgreSQL did not start");
        (format!("postgres://postgres@localhost/postgres?host={}", folder.trim()), child)
    };
    SERVER.get_or_init(start).0.clone()
}
