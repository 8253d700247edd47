use media::{Frame, PictureLimits, ReadError, Size, encode_jpeg, encode_png, encode_webp, read_picture};

use crate::scene;

fn read(bytes: &[u8]) -> Result<Frame, ReadError> {
    read_picture(bytes, &PictureLimits::default())
}

#[test]
fn png_is_exact_and_the_others_are_close() {
    for size in [Size::new(64, 40), Size::new(33, 57), Size::new(1, 1)] {
        let frame = scene::frame(size, 0.0);
        assert_eq!(read(&encode_png(&frame).unwrap()).unwrap(), frame);
        if size.pixels() > 1 {
            for bytes in [encode_jpeg(&frame, 90).unwrap(), encode_webp(&frame, 90).unwrap()] {
                let psnr = scene::psnr(&read(&bytes).unwrap(), &frame);
                assert!(psnr > 28.0, "{size} has {psnr:.1} dB");
            }
        }
    }
}

#[test]
fn quality_matters() {
    let frame = scene::frame(Size::new(320, 180), 0.0);
    assert!(encode_jpeg(&frame, 30).unwrap().len() < encode_jpeg(&frame, 90).unwrap().len());
    assert!(encode_webp(&frame, 30).unwrap().len() < encode_webp(&frame, 90).unwrap().len());
}

/// The JPEG with an EXIF block that holds nothing but an orientation.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend([0xff, 0xe1]);
    bytes.extend((exif.len() as u16 + 2).to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&jpeg[2..]);
    bytes
}

#[test]
fn a_photograph_stands_upright() {
    // Red above blue, twice as wide as high.
    let mut frame = Frame::filled(Size::new(64, 32), [220, 20, 20]);
    let half = frame.rgb().len() / 2;
    for pixel in frame.rgb_mut()[half..].chunks_exact_mut(3) {
        pixel.copy_from_slice(&[20, 20, 220]);
    }
    let jpeg = encode_jpeg(&frame, 95).unwrap();
    // Where red is, after turning.
    let check = |orientation: u8, size: Size, red: (u32, u32), blue: (u32, u32)| {
        let read = read(&with_orientation(&jpeg, orientation)).unwrap();
        assert_eq!(read.size(), size, "orientation {orientation}");
        assert!(read.pixel(red.0, red.1)[0] > 180, "orientation {orientation}");
        assert!(read.pixel(blue.0, blue.1)[2] > 180, "orientation {orientation}");
    };
    check(1, Size::new(64, 32), (32, 4), (32, 28));
    check(3, Size::new(64, 32), (32, 28), (32, 4));
    check(4, Size::new(64, 32), (32, 28), (32, 4));
    check(6, Size::new(32, 64), (28, 32), (4, 32));
    check(8, Size::new(32, 64), (4, 32), (28, 32));
}

#[test]
fn what_is_transparent_becomes_white() {
    let pixels = [[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 128], [0, 0, 255, 51]];
    let picture = image::RgbaImage::from_raw(4, 1, pixels.concat()).unwrap();
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    let frame = read(bytes.get_ref()).unwrap();
    assert_eq!(frame.rgb(), [[255, 0, 0], [255; 3], [127; 3], [204, 204, 255]].concat());
}

#[test]
fn grey_and_deep_pictures_are_read() {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let deep = image::ImageBuffer::<image::LumaA<u16>, _>::from_raw(1, 1, vec![0x8080_u16, 0xffff]).unwrap();
    image::DynamicImage::from(deep).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    assert_eq!(read(bytes.get_ref()).unwrap().rgb(), [128; 3]);
}

/// A PNG that says it is huge, and holds nothing.
fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut small = encode_png(&Frame::filled(Size::new(1, 1), [0; 3])).unwrap();
    small[16..20].copy_from_slice(&width.to_be_bytes());
    small[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = crc32(&small[12..29]);
    small[29..33].copy_from_slice(&crc.to_be_bytes());
    small
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[test]
fn too_much_is_refused_before_it_is_decoded() {
    let error = read(&png_header(60_000, 60_000)).unwrap_err();
    assert!(matches!(error, ReadError::TooManyPixels { width: 60_000, height: 60_000, .. }));
    assert_eq!(error.to_string(), "the picture is 60000×60000, at most 50000000 pixels are read: scale it down");
    let limits = PictureLimits { max_bytes: 20, ..PictureLimits::default() };
    let error = read_picture(&png_header(1, 1), &limits).unwrap_err();
    assert!(matches!(error, ReadError::TooManyBytes { limit: 20, .. }));
}

#[test]
fn what_is_no_picture_is_told() {
    for bytes in [&b""[..], b"hello", b"%PDF-1.7", b"GIF89a", &[0; 1000]] {
        assert!(matches!(read(bytes), Err(ReadError::NotAPicture)));
    }
    let png = encode_png(&scene::frame(Size::new(40, 40), 0.0)).unwrap();
    let error = read(&png[..png.len() / 2]).unwrap_err();
    assert!(error.to_string().starts_with("the PNG picture is damaged"), "{error}");
}

#[test]
fn a_frame_without_pixels_is_no_picture() {
    let nothing = Frame::filled(Size::new(0, 3), [0; 3]);
    assert!(encode_png(&nothing).is_err());
    assert!(encode_webp(&nothing, 80).is_err());
    assert_eq!(encode_jpeg(&nothing, 80).unwrap_err().to_string(), "a picture of 0×3 cannot be written as JPEG");
    assert!(encode_webp(&Frame::filled(Size::new(20_000, 1), [0; 3]), 80).is_err());
}
