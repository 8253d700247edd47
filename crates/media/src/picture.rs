//! Still pictures: PNG, JPEG and WebP, in and out.

use std::io::Cursor;

use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::codecs::png::{PngDecoder, PngEncoder};
use image::codecs::webp::WebPDecoder;
use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageEncoder, ImageError, ImageFormat, Limits};

use crate::frame::{Frame, Size};
use crate::limits::PictureLimits;
use crate::read_error::ReadError;

/// Reads a PNG, JPEG or WebP picture, recognised by its content: upright as its EXIF orientation says, transparent
/// parts on white.
///
/// Of an animation, the first frame is read. Colour profiles are ignored: pictures are taken for sRGB.
///
/// # Errors
/// [`ReadError::TooManyBytes`], [`ReadError::TooManyPixels`] (before memory is taken), [`ReadError::NotAPicture`] or
/// [`ReadError::Picture`].
pub fn read_picture(bytes: &[u8], limits: &PictureLimits) -> Result<Frame, ReadError> {
    if bytes.len() > limits.max_bytes {
        return Err(ReadError::TooManyBytes { actual: bytes.len(), limit: limits.max_bytes });
    }
    let read = |format, decoder: Result<_, ImageError>| {
        let decoder: Box<dyn ImageDecoder + '_> = decoder.map_err(|error| damaged(format, error))?;
        decode(decoder, format, limits)
    };
    let reader = Cursor::new(bytes);
    match image::guess_format(bytes) {
        Ok(ImageFormat::Png) => {
            let limits = image_limits(limits);
            read("PNG", PngDecoder::with_limits(reader, limits).map(|decoder| Box::new(decoder) as _))
        }
        Ok(ImageFormat::Jpeg) => read("JPEG", JpegDecoder::new(reader).map(|decoder| Box::new(decoder) as _)),
        Ok(ImageFormat::WebP) => read("WebP", WebPDecoder::new(reader).map(|decoder| Box::new(decoder) as _)),
        _ => Err(ReadError::NotAPicture),
    }
}

fn damaged(format: &'static str, error: ImageError) -> ReadError {
    ReadError::Picture { format, source: Box::new(error) }
}

/// Room for the pixels at 16 bits and four channels, and as much again for the decoder's own work.
fn image_limits(limits: &PictureLimits) -> Limits {
    let mut image_limits = Limits::no_limits();
    image_limits.max_alloc = Some((limits.max_pixels as u64).saturating_mul(16).saturating_add(1 << 20));
    image_limits
}

fn decode(
    mut decoder: Box<dyn ImageDecoder + '_>,
    format: &'static str,
    limits: &PictureLimits,
) -> Result<Frame, ReadError> {
    let (width, height) = decoder.dimensions();
    if width as usize * height as usize > limits.max_pixels {
        return Err(ReadError::TooManyPixels { width, height, limit: limits.max_pixels });
    }
    decoder.set_limits(image_limits(limits)).map_err(|error| damaged(format, error))?;
    // A picture whose EXIF block is broken is still a picture.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| damaged(format, error))?;
    picture.apply_orientation(orientation);
    let size = Size::new(picture.width(), picture.height());
    let rgb =
        if picture.color().has_alpha() { on_white(&picture.into_rgba8()) } else { picture.into_rgb8().into_raw() };
    Ok(Frame::new(size, rgb).expect("a decoded picture has three bytes for each of its pixels"))
}

fn on_white(rgba: &[u8]) -> Vec<u8> {
    let mut rgb = Vec::with_capacity(rgba.len() / 4 * 3);
    for pixel in rgba.chunks_exact(4) {
        let alpha = u32::from(pixel[3]);
        rgb.extend(pixel[..3].iter().map(|&c| ((u32::from(c) * alpha + 255 * (255 - alpha) + 127) / 255) as u8));
    }
    rgb
}

/// Why a picture could not be written.
#[derive(Debug, thiserror::Error)]
#[error("a picture of {width}×{height} cannot be written as {format}")]
pub struct EncodeError {
    width: u32,
    height: u32,
    format: &'static str,
    #[source]
    source: Option<ImageError>,
}

fn refused(frame: &Frame, format: &'static str, source: Option<ImageError>) -> EncodeError {
    EncodeError { width: frame.size().width, height: frame.size().height, format, source }
}

/// The frame as PNG, without loss.
///
/// # Errors
/// When the frame is empty.
pub fn encode_png(frame: &Frame) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    write(frame, "PNG", PngEncoder::new(&mut bytes))?;
    Ok(bytes)
}

/// The frame as JPEG; `quality` from 1 to 100.
///
/// # Errors
/// When a side is 0 or over 65,535.
pub fn encode_jpeg(frame: &Frame, quality: u8) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    write(frame, "JPEG", JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100)))?;
    Ok(bytes)
}

fn write(frame: &Frame, format: &'static str, encoder: impl ImageEncoder) -> Result<(), EncodeError> {
    let Size { width, height } = frame.size();
    if frame.size().pixels() == 0 {
        return Err(refused(frame, format, None));
    }
    encoder
        .write_image(frame.rgb(), width, height, ExtendedColorType::Rgb8)
        .map_err(|error| refused(frame, format, Some(error)))
}

/// The frame as lossy WebP; `quality` from 1 to 100.
///
/// # Errors
/// When a side is 0 or over 16,383.
pub fn encode_webp(frame: &Frame, quality: u8) -> Result<Vec<u8>, EncodeError> {
    let Size { width, height } = frame.size();
    if frame.size().pixels() == 0 {
        return Err(refused(frame, "WebP", None));
    }
    let quality = f32::from(quality.clamp(1, 100));
    match webp::Encoder::from_rgb(frame.rgb(), width, height).encode_simple(false, quality) {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(_) => Err(refused(frame, "WebP", None)),
    }
}
