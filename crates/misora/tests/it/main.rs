//! The command as its user has it: the real binary, the real model, files in a folder of its own.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod admin;
mod errors;
mod generate;
mod models;
mod verify;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use media::{Clip, ReadLimits, read_mp4};

/// A folder with a home for the keys, and the command run in it.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_misora"));
        command.args(arguments).current_dir(self.folder.path()).env("MISORA_HOME", self.path("home"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed; its standard output.
    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail with a code and leave nothing behind; its message.
    fn fail(&self, code: i32, arguments: &[&str]) -> String {
        let before = self.files();
        let output = self.run(arguments);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(!message.contains("panicked"), "{message}");
        assert_eq!(self.files(), before, "{arguments:?} left something behind");
        message
    }

    /// A small quick clip.
    fn clip(&self, name: &str, seed: &str) -> PathBuf {
        let prompt = "a red boat sails right on the sea at dusk";
        self.succeed(&["generate", prompt, "--no-upscale", "--steps", "3", "--seed", seed, "-o", name]);
        self.path(name)
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| !path.ends_with("home"))
            .collect();
        files.sort();
        files
    }
}

fn read(path: &Path) -> Clip {
    read_mp4(&std::fs::read(path).unwrap(), &ReadLimits::default()).unwrap()
}
