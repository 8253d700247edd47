//! Secrets that must be read again, such as what webhooks are signed with: sealed in their rows with a key of the installation, so that
//! whoever has the rows has no secrets.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use platform::Timestamp;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::{StoreError, corrupt};
use crate::store::Store;

/// The form of what is sealed: this byte, a random nonce, ciphertext and tag of ChaCha20-Poly1305.
const FORM: u8 = 1;

/// Seals and opens secrets, each bound to a purpose. One key is good for 2³² of them. `Debug` prints nothing of the key.
#[derive(Clone)]
pub struct Sealer(LessSafeKey);

/// A key that cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub enum SealerError {
    /// The text is none.
    #[error("a key of secrets is 32 bytes in base64: make one with `openssl rand -base64 32`")]
    Malformed,
    /// The file holds no key.
    #[error("{path} holds no key of secrets", path = .0.display())]
    File(PathBuf),
    /// Others can read the file.
    #[error("{path} can be read by others: chmod 600", path = .0.display())]
    Permissions(PathBuf),
    /// The file cannot be read or made.
    #[error("the key of secrets {path} cannot be read or made", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Sealer {
    /// A sealer of 32 random bytes.
    pub fn new(key: [u8; 32]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, &key).expect("ChaCha20-Poly1305 takes keys of 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// A sealer of a key in base64, as configurations and files hold it.
    ///
    /// # Errors
    /// [`SealerError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, SealerError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| SealerError::Malformed)?;
        bytes.try_into().map(Self::new).map_err(|_| SealerError::Malformed)
    }

    /// The sealer of a file, which is made at first use, readable by its owner alone. Several may try to make it at once.
    ///
    /// # Errors
    /// [`SealerError`].
    pub fn open_or_create(path: &Path) -> Result<Self, SealerError> {
        let io = |source| SealerError::Io { path: path.to_owned(), source };
        match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => create(path).map_err(io)?,
            Err(error) => return Err(io(error)),
            Ok(_) => {}
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            if fs::metadata(path).map_err(io)?.permissions().mode() & 0o077 != 0 {
                return Err(SealerError::Permissions(path.to_owned()));
            }
        }
        let text = fs::read_to_string(path).map_err(io)?;
        Self::parse(&text).map_err(|_| SealerError::File(path.to_owned()))
    }

    /// Seals a secret for a purpose; it cannot be opened for another, so that rows cannot be swapped.
    pub fn seal(&self, secret: &[u8], purpose: &str) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random();
        let mut sealed = secret.to_vec();
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(purpose), &mut sealed)
            .expect("secrets are far shorter than what can be sealed");
        [&[FORM], nonce.as_slice(), &sealed, tag.as_ref()].concat()
    }

    /// Opens what was sealed for a purpose.
    ///
    /// # Errors
    /// [`StoreError::Unsealable`].
    pub fn open(&self, sealed: &[u8], purpose: &str) -> Result<Vec<u8>, StoreError> {
        let rest = sealed.strip_prefix(&[FORM]).ok_or(StoreError::Unsealable)?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(StoreError::Unsealable)?;
        let mut bytes = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.0.open_in_place(nonce, Aad::from(purpose), &mut bytes);
        let length = opened.map_err(|_| StoreError::Unsealable)?.len();
        bytes.truncate(length);
        Ok(bytes)
    }
}

/// The name of the setting by which a wrong key is known, and what it is sealed for.
const PROOF: &str = "secrets_key_proof";

impl Store {
    /// Checks that this store has the key that its rows are sealed with. The first key ever is remembered by something that only it
    /// opens, so that a node with another key does not start.
    ///
    /// # Errors
    /// [`StoreError::Unsealable`] if it is another key.
    pub async fn check_sealer(&self, now: Timestamp) -> Result<(), StoreError> {
        let sealer = self.sealer()?;
        let kept = self.setting_or(PROOF, &STANDARD.encode(sealer.seal(b"misora", PROOF)), now).await?;
        let sealed = STANDARD.decode(&kept).map_err(|_| corrupt("value", "no base64"))?;
        sealer.open(&sealed, PROOF).map(|_| ())
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

/// Random bytes. Keys and nonces are no decisions, so they come from the system and not from a caller who could repeat one.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the machine gives random bytes");
    bytes
}

/// Writes a new key beside its place and links it there, so that a key is there whole or not at all, and one that came first stays.
fn create(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let draft = folder.join(format!(".secrets-{}-{}", std::process::id(), u64::from_be_bytes(random())));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(&draft)?;
    let written = writeln!(file, "{}", STANDARD.encode(random::<32>())).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    fs::remove_file(&draft)?;
    linked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_with_its_key_for_its_purpose_alone() {
        let sealer = Sealer::new([1; 32]);
        let sealed = sealer.seal(b"secret", "a");
        assert_eq!(sealer.open(&sealed, "a").unwrap(), b"secret");
        assert_ne!(sealer.seal(b"secret", "a"), sealed);
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
        assert!(sealer.open(&sealed, "b").is_err());
        assert!(Sealer::new([2; 32]).open(&sealed, "a").is_err());
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert!(sealer.open(&changed, "a").is_err(), "{place}");
            assert!(sealer.open(&sealed[..place], "a").is_err(), "{place}");
        }
    }

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/secrets.key");
        let sealed = Sealer::open_or_create(&path).unwrap().seal(b"secret", "a");
        assert_eq!(Sealer::open_or_create(&path).unwrap().open(&sealed, "a").unwrap(), b"secret");
        assert_eq!(fs::read_dir(folder.path().join("keys")).unwrap().count(), 1);
        assert_eq!(Sealer::parse(&fs::read_to_string(&path).unwrap()).unwrap().open(&sealed, "a").unwrap(), b"secret");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            assert!(matches!(Sealer::open_or_create(&path), Err(SealerError::Permissions(_))));
        }
        let broken = folder.path().join("broken");
        fs::write(&broken, "no key").unwrap();
        #[cfg(unix)]
        fs::set_permissions(&broken, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        assert!(matches!(Sealer::open_or_create(&broken), Err(SealerError::File(_))));
        for text in ["", "AAAA", "not base64"] {
            assert!(Sealer::parse(text).is_err());
        }
    }
}
