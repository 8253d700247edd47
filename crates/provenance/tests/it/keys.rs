//! Keys on disk.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use provenance::{KeyError, SigningKey, State, TrustedRoots, sign, verify};

use crate::{CLIP, created};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn keys_are_private_and_lasting() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("deep/keys");
    let key = SigningKey::open_or_create(&keys, "Paper Studio").unwrap();
    assert_eq!(mode(&keys), 0o700);
    assert_eq!((mode(&keys.join("signing.pem")), mode(&keys.join("root-key.pem"))), (0o600, 0o600));
    assert_eq!(fs::read_to_string(keys.join("root.pem")).unwrap(), key.root_pem());
    assert_eq!(fs::read_dir(&keys).unwrap().count(), 3, "no temporary file is left");

    let again = SigningKey::open_or_create(&keys, "Another name").unwrap();
    assert_eq!((again.chain_pem(), again.organisation()), (key.chain_pem(), "Paper Studio"));
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    SigningKey::open_or_create(dir.path(), "Paper Studio").unwrap();
    let file = dir.path().join("signing.pem");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let error = SigningKey::open_or_create(dir.path(), "Paper Studio").unwrap_err();
    assert!(matches!(error, KeyError::ReadableByOthers { mode: 0o644, .. }));
    assert!(error.to_string().contains(&format!("chmod 600 {}", file.display())), "{error}");
}

#[test]
fn a_folder_that_others_can_write_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let error = SigningKey::open_or_create(dir.path(), "Paper Studio").unwrap_err();
    assert!(matches!(error, KeyError::WritableByOthers { mode: 0o777, .. }), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn names_that_no_certificate_holds_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["", "two\nlines", &"x".repeat(65)] {
        assert!(matches!(SigningKey::open_or_create(dir.path(), name), Err(KeyError::Organisation(_))), "{name:?}");
    }
}

#[test]
fn a_damaged_key_is_an_error_and_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    SigningKey::open_or_create(dir.path(), "Paper Studio").unwrap();
    let file = dir.path().join("signing.pem");
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(SigningKey::open_or_create(dir.path(), "Paper Studio").is_err());
    assert_eq!(fs::read_to_string(&file).unwrap().len(), whole.len() / 2);
}

#[test]
fn two_that_start_at_once_get_one_key() {
    for _ in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        let start = std::sync::Barrier::new(4);
        let chains: Vec<String> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        SigningKey::open_or_create(&keys, "Paper Studio").unwrap().chain_pem().to_owned()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(chains.iter().all(|chain| *chain == chains[0]));
        assert!(chains[0].ends_with(&fs::read_to_string(keys.join("root.pem")).unwrap()));
    }
}

#[test]
fn an_operators_own_chain_signs() {
    let dir = tempfile::tempdir().unwrap();
    let made = SigningKey::open_or_create(dir.path(), "Paper Studio").unwrap();
    let file = fs::read_to_string(dir.path().join("signing.pem")).unwrap();
    let private = &file[..file.find("-----BEGIN CERTIFICATE").unwrap()];
    let key = SigningKey::from_pem(made.chain_pem(), private).unwrap();
    let signed = sign(CLIP, &created(), &key).unwrap();
    assert_eq!(verify(signed.bytes(), &TrustedRoots::none()).state, State::Untouched);
}
