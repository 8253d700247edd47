//! The H.264 encoder, OpenH264, behind a type that cannot be misused.
//!
//! The safe wrapper of the `openh264` crate ignores CABAC and the constant quantiser that we want, so this file speaks
//! to the C interface itself. It is the only one in this crate that may.

#![expect(unsafe_code, reason = "OpenH264 is a C++ library; every call crosses the language border")]

use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use openh264_sys2 as sys;
use sys::source::APILoader;

use crate::colour::I420;
use crate::frame::Size;

/// An H.264 encoder for pictures of one size: High profile, CABAC, constant quantiser, BT.709 limited range, one IDR
/// picture at the start and P pictures after it.
pub(crate) struct Encoder {
    /// Invariant: made by `WelsCreateSVCEncoder`, initialised, and owned by this value alone.
    raw: *mut sys::ISVCEncoder,
    size: Size,
    is_first: bool,
}

/// One coded picture.
#[derive(Debug, Default)]
pub(crate) struct AccessUnit {
    /// Slices, each behind its length as four bytes, as ISO/IEC 14496-15 stores them.
    pub(crate) sample: Vec<u8>,
    /// Sequence parameter set, without start code; present with an IDR picture.
    pub(crate) sps: Vec<u8>,
    /// Picture parameter set, without start code; present with an IDR picture.
    pub(crate) pps: Vec<u8>,
}

/// The encoder refused; it does not say more than a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the H.264 encoder failed at {step} with code {code}")]
pub struct EncoderError {
    step: &'static str,
    code: c_int,
}

fn check(step: &'static str, code: c_int) -> Result<(), EncoderError> {
    if code == 0 { Ok(()) } else { Err(EncoderError { step, code }) }
}

/// Calls a method through the object's table of functions.
macro_rules! call {
    ($raw:expr, $method:ident $(, $argument:expr)*) => {
        match (**$raw).$method {
            Some(method) => check(stringify!($method), method($raw $(, $argument)*)),
            None => Err(EncoderError { step: stringify!($method), code: -1 }),
        }
    };
}

impl Encoder {
    /// An encoder for even sides; `frame_rate` only helps it choose a level.
    pub(crate) fn new(size: Size, frame_rate: f32, qp: u8) -> Result<Self, EncoderError> {
        let mut raw = null_mut();
        // SAFETY: the function writes one pointer through a valid reference to one.
        check("WelsCreateSVCEncoder", unsafe { APILoader::WelsCreateSVCEncoder(&raw mut raw) })?;
        if raw.is_null() {
            return Err(EncoderError { step: "WelsCreateSVCEncoder", code: -1 });
        }
        // From here on `Drop` gives the object back, also when a step below fails.
        let encoder = Self { raw, size, is_first: true };

        let mut silent: c_int = sys::WELS_LOG_QUIET;
        // SAFETY: `raw` is a live object; this option reads one `int`.
        unsafe { call!(raw, SetOption, sys::ENCODER_OPTION_TRACE_LEVEL, (&raw mut silent).cast::<c_void>())? };
        let mut parameters = sys::SEncParamExt::default();
        // SAFETY: `raw` is a live object and writes into a structure of the type it expects.
        unsafe { call!(raw, GetDefaultParams, &raw mut parameters)? };
        set_parameters(&mut parameters, size, frame_rate, qp);
        // SAFETY: `raw` is a live object and reads a fully initialised structure.
        unsafe { call!(raw, InitializeExt, &raw const parameters)? };
        Ok(encoder)
    }

    /// Encodes the next picture.
    ///
    /// Panics when the picture's size is not the encoder's: that is a mistake of this crate.
    pub(crate) fn encode(&mut self, picture: &I420) -> Result<AccessUnit, EncoderError> {
        assert_eq!(picture.size, self.size, "pictures of one encoder have one size");
        assert_eq!(picture.luma.len(), picture.size.pixels(), "the luma plane is whole");
        assert_eq!(picture.blue.len(), picture.size.pixels() / 4, "the chroma plane is whole");
        assert_eq!(picture.red.len(), picture.size.pixels() / 4, "the chroma plane is whole");
        let (width, height) = (self.size.width as c_int, self.size.height as c_int);
        let source = sys::SSourcePicture {
            iColorFormat: sys::videoFormatI420,
            iStride: [width, width / 2, width / 2, 0],
            pData: [
                picture.luma.as_ptr().cast_mut(),
                picture.blue.as_ptr().cast_mut(),
                picture.red.as_ptr().cast_mut(),
                null_mut(),
            ],
            iPicWidth: width,
            iPicHeight: height,
            ..Default::default()
        };
        let mut output = sys::SFrameBSInfo::default();
        // SAFETY: the planes are as long as size and strides say (asserted above), the encoder only reads them, and
        // they outlive the call.
        unsafe { call!(self.raw, EncodeFrame, &raw const source, &raw mut output)? };

        let mut unit = AccessUnit::default();
        for nal in nal_units(&output) {
            match nal.first().map(|header| sys::ENalUnitType::from(header & 0x1f)) {
                Some(sys::NAL_SPS) => unit.sps = nal.to_vec(),
                Some(sys::NAL_PPS) => unit.pps = nal.to_vec(),
                Some(sys::NAL_SLICE | sys::NAL_SLICE_IDR) => {
                    unit.sample.extend((nal.len() as u32).to_be_bytes());
                    unit.sample.extend(nal);
                }
                _ => {}
            }
        }
        let is_idr = output.eFrameType == sys::videoFrameTypeIDR;
        if unit.sample.is_empty() || is_idr != std::mem::take(&mut self.is_first) {
            return Err(EncoderError { step: "frame type", code: output.eFrameType });
        }
        Ok(unit)
    }
}

fn set_parameters(parameters: &mut sys::SEncParamExt, size: Size, frame_rate: f32, qp: u8) {
    let qp = c_int::from(qp);
    parameters.iUsageType = sys::CAMERA_VIDEO_REAL_TIME;
    parameters.iPicWidth = size.width as c_int;
    parameters.iPicHeight = size.height as c_int;
    parameters.fMaxFrameRate = frame_rate;
    parameters.iRCMode = sys::RC_OFF_MODE;
    parameters.iTargetBitrate = 0;
    parameters.iMinQp = qp;
    parameters.iMaxQp = qp;
    parameters.bEnableFrameSkip = false;
    parameters.iComplexityMode = sys::MEDIUM_COMPLEXITY;
    parameters.iEntropyCodingModeFlag = 1;
    parameters.iTemporalLayerNum = 1;
    parameters.iSpatialLayerNum = 1;
    // A new encoder starts each group of pictures, so that a group's bytes do not depend on who encoded the last one.
    parameters.uiIntraPeriod = 0;
    parameters.eSpsPpsIdStrategy = sys::CONSTANT_ID;
    parameters.bEnableFrameCroppingFlag = true;
    parameters.bEnableSceneChangeDetect = false;
    parameters.bEnableBackgroundDetection = false;
    parameters.bEnableAdaptiveQuant = false;
    parameters.bEnableDenoise = false;
    parameters.bEnableLongTermReference = false;
    // Threads are ours: one encoder each.
    parameters.iMultipleThreadIdc = 1;
    let layer = &mut parameters.sSpatialLayers[0];
    layer.iVideoWidth = size.width as c_int;
    layer.iVideoHeight = size.height as c_int;
    layer.fFrameRate = frame_rate;
    layer.iSpatialBitrate = 0;
    layer.iMaxSpatialBitrate = 0;
    layer.uiProfileIdc = sys::PRO_HIGH;
    layer.uiLevelIdc = sys::LEVEL_UNKNOWN;
    layer.iDLayerQp = qp;
    layer.sSliceArgument.uiSliceMode = sys::SM_SINGLE_SLICE;
    layer.bVideoSignalTypePresent = true;
    layer.uiVideoFormat = sys::VF_UNDEF as u8;
    layer.bFullRange = false;
    layer.bColorDescriptionPresent = true;
    layer.uiColorPrimaries = sys::CP_BT709 as u8;
    layer.uiTransferCharacteristics = sys::TRC_BT709 as u8;
    layer.uiColorMatrix = sys::CM_BT709 as u8;
}

/// The NAL units of an encoded picture, without start codes.
fn nal_units(output: &sys::SFrameBSInfo) -> Vec<&[u8]> {
    let mut units = Vec::new();
    for layer in &output.sLayerInfo[..output.iLayerNum as usize] {
        let mut start = 0;
        for index in 0..layer.iNalCount as usize {
            // SAFETY: the encoder wrote `iNalCount` lengths, and `pBsBuf` holds that many units one after another. Both
            // arrays stay as they are until the encoder is called again, which the caller's borrow of `output` outlives
            // only inside `encode`.
            let bytes = unsafe {
                let length = *layer.pNalLengthInByte.add(index) as usize;
                std::slice::from_raw_parts(layer.pBsBuf.add(start), length)
            };
            start += bytes.len();
            // Annex B: two or more zero bytes, a one, then the unit.
            let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
            units.push(bytes.get(zeros + 1..).unwrap_or_default());
        }
    }
    units
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: `raw` came from `WelsCreateSVCEncoder` and nobody else has it. Uninitialising an object that never
        // was initialised is allowed.
        unsafe {
            let _ = call!(self.raw, Uninitialize);
            APILoader::WelsDestroySVCEncoder(self.raw);
        }
    }
}
