//! A request: the first byte says to which reader, the rest is its body. The door is that of the server's own tests, which says what
//! an answer may be.
#![no_main]

#[allow(dead_code, reason = "the tests use more of it")]
mod loops {
    #[path = "../../../crates/server/tests/it/loops/bed.rs"]
    pub(crate) mod bed;
}

#[allow(dead_code, unused_imports, reason = "the tests use more of it")]
mod http {
    #[path = "../../../crates/server/tests/it/http/hostile.rs"]
    pub(crate) mod hostile;
    #[path = "../../../crates/server/tests/it/http/site.rs"]
    pub(crate) mod site;
}

use std::cell::OnceCell;
use std::path::Path;

use http::hostile::{Door, Letter};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static DOOR: OnceCell<(Door, Vec<Letter>)> = const { OnceCell::new() };
}

fn open() -> (Door, Vec<Letter>) {
    let door = Door::new();
    let letters = door.letters();
    (door, letters)
}

/// Good requests to begin with.
fn write_seeds() {
    if let Some(folder) = std::env::var_os("MISORA_FUZZ_SEEDS") {
        for (place, letter) in open().1.iter().enumerate() {
            let bytes = [&[place as u8][..], &letter.body].concat();
            std::fs::write(Path::new(&folder).join(format!("seed-{place}")), bytes).unwrap();
        }
    }
}

fuzz_target!(
    init: write_seeds(),
    |bytes: &[u8]| {
        let Some((which, body)) = bytes.split_first() else { return };
        DOOR.with(|door| {
            let (door, letters) = door.get_or_init(open);
            let letter = &letters[usize::from(*which) % letters.len()];
            door.deliver(Letter { body: body.to_vec(), ..letter.clone() });
        });
    }
);
