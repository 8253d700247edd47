use std::num::NonZeroUsize;

use media::{
    Clip, Frame, FrameRate, Mp4Reader, Mp4Writer, Quality, ReadError, ReadLimits, Size, WriteError, probe_mp4,
    read_mp4, write_mp4,
};

use crate::scene;

fn read(bytes: &[u8]) -> Clip {
    read_mp4(bytes, &ReadLimits::default()).unwrap()
}

/// Names and bytes of the boxes in `bytes`.
fn boxes(mut bytes: &[u8]) -> Vec<([u8; 4], &[u8])> {
    let mut boxes = Vec::new();
    while let Some((header, _)) = bytes.split_first_chunk::<8>() {
        let size = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        boxes.push(([header[4], header[5], header[6], header[7]], &bytes[8..size]));
        bytes = &bytes[size..];
    }
    boxes
}

#[test]
fn clips_come_back_at_every_size_and_length() {
    let check = |size: Size, frame_rate: FrameRate, count: usize| {
        let clip = scene::clip(size, frame_rate, count);
        let bytes = write_mp4(&clip, Quality::default()).unwrap();
        let info = probe_mp4(&bytes, &ReadLimits::default()).unwrap();
        assert_eq!((info.size, info.frame_rate, info.frame_count), (size, frame_rate, count));
        assert!(info.codec.starts_with("avc1.64"), "{} is not High profile", info.codec);
        let back = read(&bytes);
        assert_eq!((back.size(), back.frame_rate(), back.frames().len()), (size, frame_rate, count));
        for (index, (a, b)) in clip.frames().iter().zip(back.frames()).enumerate() {
            // Small pictures are all edges, where half the colour is lost to 4:2:0.
            let enough = if size.pixels() < 10_000 { 22.0 } else { 32.0 };
            let psnr = scene::psnr(a, b);
            assert!(psnr > enough, "frame {index} of {size} has {psnr:.1} dB");
        }
    };
    check(Size::new(320, 180), FrameRate::whole(12), 30);
    check(Size::new(180, 320), FrameRate::whole(24), 10);
    check(Size::new(240, 240), FrameRate { numerator: 30_000, denominator: 1001 }, 5);
    check(Size::new(144, 80), FrameRate::whole(12), 97);
    check(Size::new(161, 91), FrameRate::whole(8), 3);
    check(Size::new(160, 91), FrameRate::whole(8), 3);
    check(Size::new(161, 90), FrameRate::whole(8), 1);
    check(Size::new(16, 16), FrameRate::whole(1), 5);
    check(Size::new(17, 400), FrameRate::whole(60), 2);
}

#[test]
fn the_default_quality_is_good() {
    let clip = scene::clip(Size::new(640, 360), FrameRate::whole(12), 30);
    let bytes = write_mp4(&clip, Quality::default()).unwrap();
    for (index, (a, b)) in clip.frames().iter().zip(read(&bytes).frames()).enumerate() {
        let psnr = scene::psnr(a, b);
        assert!(psnr >= 38.0, "frame {index} has {psnr:.1} dB");
    }
}

#[test]
fn a_higher_quantiser_makes_a_smaller_file() {
    let clip = scene::clip(Size::new(320, 180), FrameRate::whole(12), 12);
    let sizes = [16, 23, 34].map(|qp| write_mp4(&clip, Quality::from_qp(qp).unwrap()).unwrap().len());
    assert!(sizes.is_sorted_by(|a, b| a > b), "{sizes:?}");
}

#[test]
fn pure_colours_keep_their_values() {
    for colour in [[255, 0, 0], [0, 255, 0], [0, 0, 255], [128; 3], [0; 3], [255; 3], [200, 120, 40]] {
        let clip = Clip::new(vec![Frame::filled(Size::new(64, 48), colour); 3], FrameRate::whole(12)).unwrap();
        let back = read(&write_mp4(&clip, Quality::default()).unwrap());
        for pixel in back.frames().iter().flat_map(|frame| frame.rgb().chunks_exact(3)) {
            assert!(pixel.iter().zip(colour).all(|(a, b)| a.abs_diff(b) <= 4), "{colour:?} came back as {pixel:?}");
        }
    }
}

#[test]
fn the_index_comes_first_and_says_the_right_times() {
    let clip = scene::clip(Size::new(64, 48), FrameRate::whole(12), 30);
    let bytes = write_mp4(&clip, Quality::default()).unwrap();
    let names: Vec<_> = boxes(&bytes).iter().map(|(name, _)| *name).collect();
    assert_eq!(names, [*b"ftyp", *b"moov", *b"mdat"]);
    let moov = boxes(boxes(&bytes)[1].1);
    let (name, mvhd) = moov[0];
    assert_eq!(&name, b"mvhd");
    let number = |at: usize| u32::from_be_bytes(*mvhd[at..].first_chunk().unwrap());
    assert_eq!(f64::from(number(16)) / f64::from(number(12)), 2.5, "30 frames at 12 a second are 2.5 s");
    assert_eq!(clip.duration_s(), 2.5);
    let nclx = bytes.windows(15).any(|window| window == b"colrnclx\0\x01\0\x01\0\x01\0");
    assert!(nclx, "the colour box says BT.709, limited range");
}

#[test]
fn the_bytes_do_not_depend_on_the_threads() {
    let clip = scene::clip(Size::new(96, 64), FrameRate::whole(2), 19);
    let files = [1, 2, 3, 7].map(|threads| {
        let threads = NonZeroUsize::new(threads).unwrap();
        let mut writer = Mp4Writer::with_threads(clip.size(), clip.frame_rate(), Quality::default(), threads).unwrap();
        for frame in clip.frames() {
            writer.push(frame).unwrap();
        }
        assert_eq!(writer.frame_count(), 19);
        writer.finish().unwrap()
    });
    assert!(files.iter().all(|file| *file == files[0]));
}

#[test]
fn a_writer_may_be_dropped_half_way() {
    let mut writer = Mp4Writer::new(Size::new(64, 64), FrameRate::whole(12), Quality::default()).unwrap();
    for _ in 0..10 {
        writer.push(&Frame::filled(Size::new(64, 64), [1, 2, 3])).unwrap();
    }
    drop(writer);
}

#[test]
fn what_cannot_be_written_is_told() {
    let new = |width, height, frame_rate| {
        Mp4Writer::new(Size::new(width, height), frame_rate, Quality::default()).map(|_| ()).unwrap_err().to_string()
    };
    let twelve = FrameRate::whole(12);
    assert!(new(0, 10, twelve).contains("cannot be 0x10"));
    assert!(new(15, 16, twelve).contains("16 to 4096"));
    assert!(new(4096, 4096, twelve).contains("9,437,184"));
    assert!(new(64, 64, FrameRate::whole(0)).contains("0/1 frames a second"));
    assert!(new(64, 64, FrameRate { numerator: 1, denominator: 0 }).contains("1/0"));
    assert!(matches!(Quality::from_qp(0), Err(WriteError::Quality { qp: 0 })));

    let mut writer = Mp4Writer::new(Size::new(64, 64), twelve, Quality::default()).unwrap();
    let error = writer.push(&Frame::filled(Size::new(64, 32), [0; 3])).unwrap_err();
    assert_eq!(error.to_string(), "frame 0 is 64x32, the video is 64x64");
    assert!(matches!(writer.finish(), Err(WriteError::Empty)));
}

#[test]
fn frames_can_be_read_one_by_one() {
    let clip = scene::clip(Size::new(64, 48), FrameRate::whole(12), 7);
    let bytes = write_mp4(&clip, Quality::default()).unwrap();
    let whole = read(&bytes);
    let mut reader = Mp4Reader::open(&bytes, &ReadLimits::default()).unwrap();
    for frame in whole.frames() {
        assert_eq!(reader.next_frame().unwrap().as_ref(), Some(frame));
    }
    assert_eq!(reader.next_frame().unwrap(), None);
    assert_eq!(reader.next_frame().unwrap(), None);
}

#[test]
fn limits_hold() {
    let bytes = write_mp4(&scene::clip(Size::new(64, 48), FrameRate::whole(12), 7), Quality::default()).unwrap();
    let refused = |limits: ReadLimits| read_mp4(&bytes, &limits).unwrap_err();
    let all = ReadLimits::default();
    assert!(matches!(refused(ReadLimits { max_bytes: 100, ..all }), ReadError::TooManyBytes { limit: 100, .. }));
    assert!(matches!(
        refused(ReadLimits { max_frame_pixels: 3000, ..all }),
        ReadError::TooManyPixels { width: 64, height: 48, .. }
    ));
    assert!(matches!(refused(ReadLimits { max_frames: 6, ..all }), ReadError::TooManyFrames { actual: 7, limit: 6 }));
    assert!(matches!(
        refused(ReadLimits { max_clip_pixels: 7 * 64 * 48 - 1, ..all }),
        ReadError::ClipTooLarge { frames: 7, .. }
    ));
    assert!(read_mp4(&bytes, &ReadLimits { max_frames: 7, max_clip_pixels: 7 * 64 * 48, ..all }).is_ok());
}
