//! Statements: what they say after years, and what one changed byte does to them.

use proptest::prelude::*;
use provenance::{
    SigningKey, State, StatementError, Trust, TrustedRoots, looks_like_statement, sign_statement, verify_statement,
};
use serde_json::{Value, json};

use crate::installation;

const KIND: &str = "misora-deletion-receipt+json";

fn receipt(key: &SigningKey) -> Vec<u8> {
    let facts = json!({ "what": "video", "gone": { "clips": 3 }, "complete": true, "name": "空" });
    sign_statement(key, KIND, facts.to_string().as_bytes()).unwrap().into_bytes()
}

#[test]
fn a_statement_says_what_it_said_and_who_signed() {
    let (_dir, key) = installation("Paper Studio");
    let signed = receipt(&key);
    assert!(looks_like_statement(&signed));
    let report = verify_statement(&signed, &TrustedRoots::installation(&key));
    assert_eq!((report.state, report.kind.as_deref()), (State::Untouched, Some(KIND)));
    assert_eq!(report.payload.as_ref().unwrap()["gone"]["clips"], 3);
    assert_eq!(report.signer.as_ref().unwrap().trust, Trust::ThisInstallation);
    let summary = report.to_string();
    for words in
        ["UNTOUCHED", "a receipt of deletion", "Paper Studio: signed by this installation", "gone.clips: 3", "空"]
    {
        assert!(summary.contains(words), "{words} in {summary}");
    }

    let elsewhere = verify_statement(&signed, &TrustedRoots::none());
    assert_eq!((elsewhere.state, elsewhere.signer.unwrap().trust), (State::Untouched, Trust::Unknown));
    let listed = TrustedRoots::none().with_trust_list(key.root_pem()).unwrap();
    assert_eq!(verify_statement(&signed, &listed).signer.unwrap().trust, Trust::TrustList);
}

/// The envelope may be written anew by any program that knows JSON; what is signed stays the same text.
#[test]
fn an_envelope_may_be_laid_out_anew() {
    let (_dir, key) = installation("Paper Studio");
    let envelope: Value = serde_json::from_slice(&receipt(&key)).unwrap();
    let pretty = serde_json::to_string_pretty(&envelope).unwrap();
    assert_eq!(verify_statement(format!("\n{pretty}\n").as_bytes(), &TrustedRoots::none()).state, State::Untouched);
}

/// Payload, signature, header and certificates: a statement is nothing but these.
#[test]
fn one_flipped_byte_is_told() {
    let (_dir, key) = installation("Paper Studio");
    let signed = receipt(&key);
    let trusted = TrustedRoots::installation(&key);
    let mut bytes = signed.clone();
    for at in 0..signed.len() {
        for mask in [0x01, 0x20, 0xff] {
            bytes[at] = signed[at] ^ mask;
            let report = verify_statement(&bytes, &trusted);
            assert_ne!(report.state, State::Untouched, "byte {at} ^ {mask:#04x}");
            assert!(!report.to_string().contains("UNTOUCHED"));
        }
        bytes[at] = signed[at];
    }
}

#[test]
fn parts_of_two_statements_make_none() {
    let (_dir, key) = installation("Paper Studio");
    let (_other_dir, other) = installation("Paper Studio");
    let trusted = TrustedRoots::installation(&key);
    let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let ours = parse(&receipt(&key));
    let theirs = parse(&receipt(&other));
    let later = parse(sign_statement(&key, "misora-evidence-index+json", b"{}").unwrap().as_bytes());
    for other in [&theirs, &later] {
        for member in ["payload", "protected", "signature"] {
            let mut mixed = ours.clone();
            mixed[member] = other[member].clone();
            if mixed != ours {
                assert_eq!(verify_statement(mixed.to_string().as_bytes(), &trusted).state, State::Tampered, "{member}");
            }
        }
    }
}

#[test]
fn what_is_no_statement_is_not_called_one() {
    let trusted = TrustedRoots::none();
    let (_dir, key) = installation("Paper Studio");
    let mut extended: Value = serde_json::from_slice(&receipt(&key)).unwrap();
    extended["header"] = json!({ "alg": "none" });
    assert_eq!(verify_statement(extended.to_string().as_bytes(), &trusted).state, State::Tampered);

    for text in ["", "{}", "[]", "{\"payload\":1}", "hello", &"{\"a\":".repeat(100_000), &"x".repeat(10 << 20)] {
        let report = verify_statement(text.as_bytes(), &trusted);
        assert_eq!(report.state, State::Unreadable, "{:?}", &text[..text.len().min(40)]);
        assert!(report.to_string().starts_with("UNREADABLE"));
    }
    // No algorithm, an unknown one, and a header of nothing.
    for header in ["{}", "{\"alg\":\"none\",\"typ\":\"a\",\"x5c\":[]}", "{\"alg\":\"ES256\",\"typ\":\"a\",\"x5c\":[]}"]
    {
        let protected = base64_url(header.as_bytes());
        let forged = json!({ "payload": base64_url(b"{}"), "protected": protected, "signature": "" });
        assert_eq!(verify_statement(forged.to_string().as_bytes(), &trusted).state, State::Tampered, "{header}");
    }
}

#[test]
fn what_cannot_be_stated_is_refused() {
    let (_dir, key) = installation("Paper Studio");
    assert!(matches!(sign_statement(&key, "Receipt of mine", b"{}"), Err(StatementError::Kind(_))));
    assert!(matches!(sign_statement(&key, KIND, b"no JSON"), Err(StatementError::Payload(_))));
    assert!(matches!(sign_statement(&key, KIND, &vec![b'1'; 5 << 20]), Err(StatementError::TooLong(_))));
}

/// Base64 without its padding, in the alphabet of addresses (RFC 4648 §5).
fn base64_url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            (0..=chunk.len()).map(move |digit| char::from(ALPHABET[(bits >> (18 - 6 * digit)) as usize & 63]))
        })
        .collect()
}

thread_local! {
    static SIGNED: Vec<u8> = receipt(&installation("Paper Studio").1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_state_nothing(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert_eq!(verify_statement(&bytes, &TrustedRoots::none()).state, State::Unreadable);
    }

    /// Bytes put over a part, put in between, or cut out.
    #[test]
    fn a_mangled_statement_is_told(
        at in any::<prop::sample::Index>(),
        over in 0_usize..200,
        patch in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let (signed, mangled) = SIGNED.with(|signed| {
            let at = at.index(signed.len());
            let mut mangled = signed.clone();
            mangled.splice(at..(at + over).min(signed.len()), patch);
            (signed.clone(), mangled)
        });
        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
        // Only a space between two members would change nothing.
        if parse(&mangled) != parse(&signed) {
            prop_assert_ne!(verify_statement(&mangled, &TrustedRoots::none()).state, State::Untouched);
        }
    }

    /// A header that says anything, over a signature of the right length: never a panic, never untouched.
    #[test]
    fn a_made_up_header_proves_nothing(certificate in prop::collection::vec(any::<u8>(), 0..600), cut in any::<prop::sample::Index>()) {
        let envelope: Value = SIGNED.with(|signed| serde_json::from_slice(signed).unwrap());
        let real = envelope["protected"].as_str().unwrap();
        let x5c = base64_url(&certificate).replace('-', "+").replace('_', "/");
        for protected in [
            base64_url(format!("{{\"alg\":\"ES256\",\"typ\":\"a\",\"x5c\":[\"{x5c}\"]}}").as_bytes()),
            real[..cut.index(real.len())].to_owned(),
        ] {
            let mut forged = envelope.clone();
            forged["protected"] = protected.into();
            prop_assert_eq!(verify_statement(forged.to_string().as_bytes(), &TrustedRoots::none()).state, State::Tampered);
        }
    }
}
