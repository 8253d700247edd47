//! Contact sheets: many frames in one picture, to be looked at.

use media::Frame;

/// Frames side by side in `columns`, each enlarged `zoom` times, on paper white.
///
/// Panics if there is no frame.
pub fn contact_sheet(frames: &[Frame], columns: usize, zoom: u32) -> image::RgbImage {
    const GAP: u32 = 4;
    let cell_width = frames.iter().map(|frame| frame.size().width).max().expect("at least one frame") * zoom + GAP;
    let cell_height = frames.iter().map(|frame| frame.size().height).max().expect("at least one frame") * zoom + GAP;
    let rows = frames.len().div_ceil(columns) as u32;
    let mut sheet = image::RgbImage::from_pixel(
        columns as u32 * cell_width + GAP,
        rows * cell_height + GAP,
        image::Rgb([250, 248, 242]),
    );
    for (index, frame) in frames.iter().enumerate() {
        let left = GAP + (index % columns) as u32 * cell_width;
        let top = GAP + (index / columns) as u32 * cell_height;
        for y in 0..frame.size().height * zoom {
            for x in 0..frame.size().width * zoom {
                sheet.put_pixel(left + x, top + y, image::Rgb(frame.pixel(x / zoom, y / zoom)));
            }
        }
    }
    sheet
}
