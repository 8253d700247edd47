//! Every mistake gets a sentence that says what to do, the right exit code, and leaves no trace.

use std::path::Path;

use crate::Desk;

#[test]
fn requests_that_cannot_be_made_are_refused_before_any_work() {
    let desk = Desk::new();
    let message = desk.fail(2, &["generate", "  ", "-o", "x.mp4"]);
    assert!(message.contains("the prompt is empty"), "{message}");
    let message = desk.fail(2, &["generate", &"a".repeat(40_000), "-o", "x.mp4"]);
    assert!(message.contains("40000 characters") && message.contains("32000"), "{message}");
    let message = desk.fail(2, &["generate", "a boat", "--size", "640x480", "-o", "x.mp4"]);
    assert!(message.contains("1280x720, 720x1280, 960x960"), "{message}");
    let message = desk.fail(2, &["generate", "a boat", "--seconds", "5", "-o", "x.mp4"]);
    assert!(message.contains("4, 8, 12, 16, 20"), "{message}");
    let message = desk.fail(2, &["generate", "a boat", "--edit", "a.mp4", "--extend", "b.mp4"]);
    assert!(message.contains("cannot be used with"), "{message}");
    let message = desk.fail(2, &["generate", "a boat", "--guidance", "-3", "-o", "x.mp4"]);
    assert!(message.contains("guidance"), "{message}");
    for (option, value, says) in [
        ("--candidates", "0", "1..=8"),
        ("--guidance-interval", "1,0.5", "such as 0.5,1"),
        ("--guidance-interval", "0.5", "such as 0.5,1"),
        ("--step-cache", "NaN", "from 0 to 1"),
    ] {
        let message = desk.fail(2, &["generate", "a boat", option, value, "-o", "x.mp4"]);
        assert!(message.contains(says), "{message}");
    }
    let message = desk.fail(2, &["generate", "a boat", "--edit", "a.mp4", "--candidates", "2"]);
    assert!(message.contains("cannot be used with"), "{message}");
    let message = desk.fail(2, &["generate", "a boat", "-o", "nowhere/x.mp4"]);
    assert!(message.contains("does not exist"), "{message}");
    let message = desk.fail(2, &["generate", "a boat", "-o", "."]);
    assert!(message.contains("is a folder"), "{message}");
}

#[test]
fn pictures_that_cannot_be_read_are_named() {
    let desk = Desk::new();
    let image = |name: &str| desk.fail(1, &["generate", "a boat", "--image", name, "-o", "x.mp4"]);
    assert!(image("missing.png").contains("missing.png cannot be read"));
    std::fs::write(desk.path("text.png"), "this is not a picture").unwrap();
    assert!(image("text.png").contains("text.png cannot be read as a picture"));
    // A header that promises 60,000 × 60,000 pixels.
    std::fs::write(desk.path("bomb.png"), png_header(60_000, 60_000)).unwrap();
    assert!(image("bomb.png").contains("bomb.png cannot be read as a picture"));
    let message = desk.fail(1, &["generate", "a boat", "--extend", "text.png", "-o", "x.mp4"]);
    assert!(message.contains("text.png cannot be read as a clip"), "{message}");
}

#[test]
fn missing_and_damaged_weights_are_named() {
    let desk = Desk::new();
    let generate = |folder: &str| desk.fail(1, &["generate", "a boat", "--model", folder, "-o", "x.mp4"]);
    let message = desk.fail(2, &["generate", "a boat", "--model", "nothing", "-o", "x.mp4"]);
    assert!(message.contains("neither a model folder"), "{message}");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/paper-1");
    let copy = desk.path("model");
    for part in ["tokenizer", "text_encoder", "transformer", "vae", "scheduler"] {
        std::fs::create_dir_all(copy.join(part)).unwrap();
        for file in std::fs::read_dir(shipped.join(part)).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.join(part).join(file.file_name())).unwrap();
        }
    }
    let weights = copy.join("transformer/model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let message = generate("model");
    assert!(message.contains("transformer/model.safetensors") && message.contains("damaged"), "{message}");
    std::fs::remove_file(&weights).unwrap();
    assert!(generate("model").contains("transformer/model.safetensors"));
}

#[test]
fn help_teaches_by_example() {
    let desk = Desk::new();
    let help = desk.succeed(&["generate", "--help"]);
    assert!(help.contains("misora generate \"a blue bird flies up over the mountains\""), "{help}");
}

/// The signature and header of a PNG with these sides, and nothing more.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut header = b"IHDR".to_vec();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    png.extend(13u32.to_be_bytes());
    png.extend(&header);
    png.extend(crc32(&header).to_be_bytes());
    png
}

/// CRC-32 as PNG has it.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
