//! The keys that sign: an installation's own chain, made on first use, or an operator's.
//!
//! A key folder holds three files. `signing.pem` (mode 600) has everything signing needs: the leaf's private key, the leaf and the
//! root certificate, in one file so that there is never half an identity. `root-key.pem` (mode 600) is the private key of the root:
//! nothing here reads it again, so move it to a safe place offline. `root.pem` is public: give it to whoever shall trust this
//! installation.

use std::fmt;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use c2pa::SigningAlg;
use c2pa::crypto::cose::{CertificateTrustPolicy, check_end_entity_certificate_profile};
use c2pa::status_tracker::StatusTracker;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SerialNumber,
};
use sha2::{Digest as _, Sha256};
use time::{Duration, OffsetDateTime};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A private key with the certificates that vouch for it. `Debug` prints nothing secret.
#[derive(Clone)]
pub struct SigningKey {
    organisation: String,
    algorithm: SigningAlg,
    chain_pem: String,
    key_pem: String,
    root_pem: String,
    /// SHA-256 of the leaf certificate, in hexadecimal.
    fingerprint: String,
}

/// Why a signing key could not be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A name that no certificate can hold.
    #[error("the organisation's name must have 1 to 64 characters and no control characters, got {0:?}")]
    Organisation(String),
    /// Others may read the private key.
    #[error("{path} holds a private key that others can read (mode {mode:03o}): run `chmod 600 {path}`", path = path.display())]
    ReadableByOthers {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Others may replace the private key.
    #[error("others can write to the key folder {path} (mode {mode:03o}): run `chmod 700 {path}`", path = path.display())]
    WritableByOthers {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file system said no.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The certificates could not be made.
    #[error("cannot make a signing certificate")]
    Generate(#[from] rcgen::Error),
    /// The private key is no PKCS#8 PEM of an algorithm we sign with.
    #[error("the private key must be PKCS#8 PEM (`-----BEGIN PRIVATE KEY-----`) on curve P-256, P-384 or Ed25519")]
    Unsupported,
    /// The chain is no PEM of certificates.
    #[error("the certificate chain must be PEM, the signing certificate first and the root last: {0}")]
    Chain(String),
    /// The first certificate is another key's.
    #[error("the private key does not belong to the first certificate of the chain")]
    Mismatch,
    /// C2PA does not allow signing with this certificate.
    #[error(
        "the signing certificate does not fit C2PA ({0}): it needs digitalSignature, an e-mail-protection or document-signing purpose and an issuer of its own"
    )]
    Profile(String),
}

const IDENTITY_FILE: &str = "signing.pem";
const ROOT_KEY_FILE: &str = "root-key.pem";
const ROOT_FILE: &str = "root.pem";
/// Without a timestamp a file stops verifying when its certificate expires, so certificates outlive the files' interest.
const LEAF_YEARS: i64 = 40;
const ROOT_YEARS: i64 = 50;

impl SigningKey {
    /// Opens the installation's key, or makes it on first use.
    ///
    /// `organisation` names the signer in the certificate that is made; an existing key keeps the name it has. Two processes
    /// that start at once end with one key.
    ///
    /// # Errors
    /// [`KeyError`]; above all when others can read the key file.
    pub fn open_or_create(dir: &Path, organisation: &str) -> Result<Self, KeyError> {
        let path = dir.join(IDENTITY_FILE);
        if let Some(key) = open(&path)? {
            return Ok(key);
        }
        if !(1..=64).contains(&organisation.chars().count()) || organisation.chars().any(char::is_control) {
            return Err(KeyError::Organisation(organisation.to_owned()));
        }
        create_private_dir(dir)?;
        let identity = Identity::generate(organisation)?;
        if write_private(&path, &identity.signing_pem(), Existing::Keep)? {
            // Only the one who won the race writes the rest, so the three files always belong together.
            write_private(&dir.join(ROOT_KEY_FILE), &identity.root_key_pem, Existing::Replace)?;
            let root_path = dir.join(ROOT_FILE);
            std::fs::write(&root_path, &identity.root_pem).map_err(io_error("write", &root_path))?;
        }
        open(&path)?.ok_or_else(|| io_error("read", &path)(io::ErrorKind::NotFound.into()))
    }

    /// A key over an operator's own chain: certificates from the signing one to the root, and the PKCS#8 private key, all PEM.
    ///
    /// # Errors
    /// [`KeyError`] if they do not belong together or C2PA does not allow such a certificate.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, KeyError> {
        let key_pair = KeyPair::from_pem(key).map_err(|_| KeyError::Unsupported)?;
        let algorithm = if key_pair.is_compatible(&PKCS_ECDSA_P256_SHA256) {
            SigningAlg::Es256
        } else if key_pair.is_compatible(&PKCS_ECDSA_P384_SHA384) {
            SigningAlg::Es384
        } else if key_pair.is_compatible(&PKCS_ED25519) {
            SigningAlg::Ed25519
        } else {
            return Err(KeyError::Unsupported);
        };

        let certificates = certificates(chain)?;
        let leaf_der =
            certificates.first().ok_or_else(|| KeyError::Chain("there is no certificate in it".to_owned()))?;
        let (_, leaf) = X509Certificate::from_der(leaf_der).map_err(|error| KeyError::Chain(error.to_string()))?;
        if leaf.public_key().subject_public_key.data.as_ref() != key_pair.public_key_raw() {
            return Err(KeyError::Mismatch);
        }
        let mut policy = CertificateTrustPolicy::new();
        policy.add_default_valid_ekus();
        check_end_entity_certificate_profile(leaf_der, &policy, &mut StatusTracker::default(), None)
            .map_err(|error| KeyError::Profile(error.to_string()))?;

        Ok(Self {
            organisation: organisation(&leaf),
            algorithm,
            chain_pem: chain.to_owned(),
            key_pem: key_pair.serialize_pem(),
            root_pem: last_certificate(chain).to_owned(),
            fingerprint: Sha256::digest(leaf_der).iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    /// Who signs, as the certificate says.
    pub fn organisation(&self) -> &str {
        &self.organisation
    }

    /// The last certificate of the chain, public: whoever shall trust this key needs it.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The certificates, public, the signing one first.
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// What it signs with.
    pub(crate) fn algorithm(&self) -> SigningAlg {
        self.algorithm
    }

    /// The signer that the C2PA library asks for.
    pub(crate) fn signer(&self) -> c2pa::Result<c2pa::BoxedSigner> {
        c2pa::create_signer::from_keys(self.chain_pem.as_bytes(), self.key_pem.as_bytes(), self.algorithm, None)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("organisation", &self.organisation)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// A fresh chain root → leaf, before it is written.
struct Identity {
    root_pem: String,
    root_key_pem: String,
    leaf_pem: String,
    leaf_key_pem: String,
}

impl Identity {
    fn generate(organisation: &str) -> Result<Self, KeyError> {
        // A day early: another machine's clock may be behind this one's.
        let not_before = OffsetDateTime::now_utc() - Duration::days(1);
        let name = |common_name: &str| {
            let mut name = DistinguishedName::new();
            name.push(DnType::OrganizationName, organisation);
            name.push(DnType::CommonName, common_name);
            name
        };

        let mut root = CertificateParams::default();
        root.distinguished_name = name(&format!("Misora installation root {}", short_id()));
        root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        root.use_authority_key_identifier_extension = true;
        root.serial_number = Some(random_serial());
        root.not_before = not_before;
        root.not_after = not_before + Duration::days(ROOT_YEARS * 365);
        let root = CertifiedIssuer::self_signed(root, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)?;

        let mut leaf = CertificateParams::default();
        leaf.distinguished_name = name("Misora content credentials");
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
        leaf.use_authority_key_identifier_extension = true;
        leaf.serial_number = Some(random_serial());
        leaf.not_before = not_before;
        leaf.not_after = not_before + Duration::days(LEAF_YEARS * 365);
        let leaf_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let leaf = leaf.signed_by(&leaf_key, &root)?;

        Ok(Self {
            root_pem: root.pem(),
            root_key_pem: root.key().serialize_pem(),
            leaf_pem: leaf.pem(),
            leaf_key_pem: leaf_key.serialize_pem(),
        })
    }

    fn signing_pem(&self) -> String {
        format!("{}{}{}", self.leaf_key_pem, self.leaf_pem, self.root_pem)
    }
}

/// Sixteen random bytes: positive, and never with a leading zero.
fn random_serial() -> SerialNumber {
    let mut bytes: [u8; 16] = rand::random();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

/// Tells roots of one organisation apart; a verifier looks them up by name.
fn short_id() -> String {
    format!("{:08x}", rand::random::<u32>())
}

/// Reads an identity file; `None` if there is none.
fn open(path: &Path) -> Result<Option<SigningKey>, KeyError> {
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("open", path)(error)),
    };
    refuse_if_others_can(path, &file.metadata().map_err(io_error("look at", path))?, 0o077, |path, mode| {
        KeyError::ReadableByOthers { path, mode }
    })?;
    let mut pem = String::new();
    io::Read::read_to_string(&mut file, &mut pem).map_err(io_error("read", path))?;
    let certificates_at = pem.find("-----BEGIN CERTIFICATE-----").unwrap_or(pem.len());
    let (key, chain) = pem.split_at(certificates_at);
    SigningKey::from_pem(chain, key).map(Some)
}

enum Existing {
    Keep,
    Replace,
}

/// Writes a file of mode 600 so that it is there whole or not at all. Says whether it was written: an existing one may be kept.
fn write_private(path: &Path, contents: &str, existing: Existing) -> Result<bool, KeyError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    // A temporary file has mode 600 from its first moment.
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(io_error("write in", dir))?;
    file.write_all(contents.as_bytes()).map_err(io_error("write", path))?;
    file.as_file().sync_all().map_err(io_error("write", path))?;
    let persisted = match existing {
        Existing::Keep => file.persist_noclobber(path),
        Existing::Replace => file.persist(path),
    };
    match persisted {
        Ok(_) => Ok(true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(io_error("write", path)(error.error)),
    }
}

fn create_private_dir(dir: &Path) -> Result<(), KeyError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(io_error("make the key folder", dir))?;
    let metadata = std::fs::metadata(dir).map_err(io_error("look at", dir))?;
    refuse_if_others_can(dir, &metadata, 0o022, |path, mode| KeyError::WritableByOthers { path, mode })
}

fn refuse_if_others_can(
    path: &Path,
    metadata: &std::fs::Metadata,
    forbidden: u32,
    error: impl FnOnce(PathBuf, u32) -> KeyError,
) -> Result<(), KeyError> {
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
        if mode & forbidden != 0 {
            return Err(error(path.to_owned(), mode));
        }
    }
    #[cfg(not(unix))]
    let _ = (path, metadata, forbidden, error);
    Ok(())
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::Io { action, path, source }
}

/// The certificates of a PEM text, as DER.
pub(crate) fn certificates(pem: &str) -> Result<Vec<Vec<u8>>, KeyError> {
    Pem::iter_from_buffer(pem.as_bytes())
        .filter(|block| !block.as_ref().is_ok_and(|block| block.label != "CERTIFICATE"))
        .map(|block| block.map(|block| block.contents).map_err(|error| KeyError::Chain(error.to_string())))
        .collect()
}

/// The subject's organisation, else its common name, else nothing.
pub(crate) fn organisation(certificate: &X509Certificate<'_>) -> String {
    let subject = certificate.subject();
    subject
        .iter_organization()
        .chain(subject.iter_common_name())
        .find_map(|name| name.as_str().ok())
        .unwrap_or_default()
        .to_owned()
}

/// The last certificate of a PEM text, still as text.
fn last_certificate(pem: &str) -> &str {
    pem.rfind("-----BEGIN CERTIFICATE-----").map_or("", |at| &pem[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_outlive_the_files() {
        let identity = Identity::generate("Paper Studio").unwrap();
        let ten_years = OffsetDateTime::now_utc() + Duration::days(3653);
        for pem in [&identity.leaf_pem, &identity.root_pem] {
            let der = certificates(pem).unwrap().remove(0);
            let (_, certificate) = X509Certificate::from_der(&der).unwrap();
            let not_after = certificate.validity().not_after.timestamp();
            assert!(not_after > (ten_years + Duration::days(20 * 365)).unix_timestamp());
            assert_eq!(organisation(&certificate), "Paper Studio");
            assert!(certificate.raw_serial().len() == 16 && certificate.raw_serial()[0] & 0x80 == 0);
        }
    }

    #[test]
    fn debug_tells_no_secret() {
        let identity = Identity::generate("Paper Studio").unwrap();
        let key = SigningKey::from_pem(&(identity.leaf_pem + &identity.root_pem), &identity.leaf_key_pem).unwrap();
        let debug = format!("{key:?}");
        assert!(debug.contains("Paper Studio") && !debug.contains("PRIVATE") && debug.len() < 200, "{debug}");
    }

    #[test]
    fn a_chain_must_fit_its_key_and_its_purpose() {
        let (one, two) = (Identity::generate("One").unwrap(), Identity::generate("Two").unwrap());
        let chain = one.leaf_pem.clone() + &one.root_pem;
        let check = |chain: &str, key: &str| SigningKey::from_pem(chain, key).unwrap_err();
        assert!(matches!(check(&chain, &two.leaf_key_pem), KeyError::Mismatch));
        assert!(matches!(check("", &one.leaf_key_pem), KeyError::Chain(_)));
        assert!(matches!(
            check("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &one.leaf_key_pem),
            KeyError::Chain(_)
        ));
        assert!(matches!(check(&chain, "no key"), KeyError::Unsupported));
        assert!(matches!(check(&one.root_pem, &one.root_key_pem), KeyError::Profile(_)));
    }
}
