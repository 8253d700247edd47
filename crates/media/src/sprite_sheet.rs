//! Many small frames in one picture, for previews while the mouse moves over a clip, and contact sheets.

use std::borrow::Borrow;

use crate::frame::{Frame, FrameError, Size};
use crate::resize::{Filter, Resizer};

/// Lays frames out from left to right and top to bottom, `columns` in a row, each `tile_width` wide.
///
/// A tile has the proportions of the first frame; other frames are cut to cover it. The last row is filled up with
/// black. The sheet is `columns · tile_width` wide, also when there are fewer frames than columns.
///
/// # Errors
/// [`FrameError::Empty`] without frames, columns or width.
pub fn sprite_sheet<F: Borrow<Frame>>(
    frames: impl IntoIterator<Item = F>,
    columns: u32,
    tile_width: u32,
) -> Result<Frame, FrameError> {
    let mut frames = frames.into_iter().peekable();
    let first = frames.peek().map(|frame| frame.borrow().size()).ok_or(FrameError::Empty)?;
    if first.pixels() == 0 || columns == 0 || tile_width == 0 {
        return Err(FrameError::Empty);
    }
    let tile_height =
        (u64::from(tile_width) * u64::from(first.height) + u64::from(first.width) / 2) / u64::from(first.width);
    let tile = Size::new(tile_width, (tile_height as u32).max(1));
    let row_bytes = columns as usize * tile.width as usize * 3;
    let tile_row_bytes = tile.width as usize * 3;

    let mut resizer = Resizer::new();
    let mut rgb = Vec::new();
    let mut count = 0_usize;
    for frame in frames {
        let (row, column) = (count / columns as usize, count % columns as usize);
        if column == 0 {
            rgb.resize(rgb.len() + row_bytes * tile.height as usize, 0);
        }
        let scaled = resizer.cover(frame.borrow(), tile, Filter::Lanczos3);
        for (y, line) in scaled.rgb().chunks_exact(tile_row_bytes).enumerate() {
            let start = (row * tile.height as usize + y) * row_bytes + column * tile_row_bytes;
            rgb[start..start + tile_row_bytes].copy_from_slice(line);
        }
        count += 1;
    }
    let rows = count.div_ceil(columns as usize) as u32;
    Frame::new(Size::new(columns * tile.width, rows * tile.height), rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_lie_where_they_should() {
        let frames: Vec<Frame> = (1..=5).map(|i| Frame::filled(Size::new(160, 90), [i * 40, 0, 0])).collect();
        let sheet = sprite_sheet(&frames, 3, 32).unwrap();
        assert_eq!(sheet.size(), Size::new(96, 36));
        for (index, frame) in frames.iter().enumerate() {
            let (x, y) = ((index as u32 % 3) * 32, (index as u32 / 3) * 18);
            for (x, y) in [(x, y), (x + 31, y + 17)] {
                assert_eq!(sheet.pixel(x, y), frame.pixel(0, 0), "tile {index}");
            }
        }
        assert_eq!(sheet.pixel(95, 35), [0; 3]);
    }

    #[test]
    fn nothing_makes_no_sheet() {
        assert_eq!(sprite_sheet(Vec::<Frame>::new(), 3, 32), Err(FrameError::Empty));
        assert_eq!(sprite_sheet([Frame::filled(Size::new(4, 4), [0; 3])], 0, 32), Err(FrameError::Empty));
    }
}
