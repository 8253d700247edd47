//! Matrix products on the tile unit of recent Intel processors (AMX): bfloat16 in, 32-bit sums out.
//!
//! Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18; for the order of
//! elements in a tile, the description of `TDPBF16PS` in volume 2.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![expect(unsafe_code, reason = "tile registers and their instructions have no safe interface")]

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::OnceLock;

/// Rows and columns of the block of sums that [`multiply_block`] computes: two tiles each way.
pub(crate) const BLOCK: usize = 32;

/// Whether this processor has the unit, the conversions of [`crate::pack`] beside it, and the system lets this process
/// use it.
///
/// The first call asks the system for the permission.
pub(crate) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        const AMX_BF16: u32 = 1 << 22;
        const AMX_TILE: u32 = 1 << 24;
        let features = __cpuid_count(7, 0).edx;
        features & AMX_BF16 != 0
            && features & AMX_TILE != 0
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16")
            && may_use_tiles()
    })
}

/// Asks the system to keep the tile registers of this process's threads (`arch_prctl`).
fn may_use_tiles() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const ARCH_REQ_XCOMP_PERM: i64 = 0x1023;
    const XFEATURE_XTILEDATA: i64 = 18;
    let status: i64;
    // SAFETY: a system call with two integers; it changes nothing but the permission, and clobbers rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => status,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    status == 0
}

/// The tile registers of this thread, shaped as 16 rows of 64 bytes; given back when dropped.
pub(crate) struct Tiles(());

#[repr(C, align(64))]
struct TileConfig {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// Takes the registers.
    ///
    /// Panics where [`available`] is false: the instruction would end the process.
    pub(crate) fn take() -> Self {
        assert!(available(), "no tile unit");
        let mut config = TileConfig { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        config.row_bytes[..8].fill(64);
        config.rows[..8].fill(16);
        // SAFETY: the unit is there (asserted) and the configuration is a valid one of palette 1.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, readonly)) };
        Self(())
    }

    /// One block of 32 × 32 sums: `sums[i, j] = start[j or i, j] + Σ a[i, k] · b[k, j]`.
    ///
    /// `a` and `b` are panels as [`crate::pack`] writes them, of the same depth, a multiple of 32. `sums` is a block
    /// of rows `stride` values apart, the last of which may be shorter than `stride`.
    ///
    /// Panics if a slice is too short.
    pub(crate) fn multiply_block(&self, a: &[u16], b: &[u16], sums: &mut [f32], stride: usize, start: Start<'_>) {
        assert_eq!(a.len(), b.len(), "panels of one depth");
        assert!(!a.is_empty() && a.len().is_multiple_of(BLOCK * BLOCK), "whole blocks of depth");
        assert!(sums.len() >= (BLOCK - 1) * stride + BLOCK && stride >= BLOCK, "room for the block");
        // The rows that the sums start from: none, the same row for all, or the sums themselves.
        let (from, from_stride) = match start {
            Start::Zero => (std::ptr::null(), 0),
            Start::Row(row) => {
                assert!(row.len() >= BLOCK, "one value a column");
                (row.as_ptr(), 0)
            }
            Start::Sums => (sums.as_ptr(), stride),
        };
        let (row_bytes, from_bytes) = (4 * stride, 4 * from_stride);
        let sums = sums.as_mut_ptr();
        // SAFETY: the registers are configured as 16 × 64 bytes while `self` lives. Reads: `a` and `b` for their whole
        // length, 2,048 bytes a turn; `from`, unless null, and `sums` within the block that was asserted to be there.
        unsafe {
            asm!(
                "test {from}, {from}",
                "jnz 3f",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "jmp 2f",
                "3:",
                "tileloadd tmm0, [{from} + {from_bytes}*1]",
                "tileloadd tmm1, [{from} + {from_bytes}*1 + 64]",
                "tileloadd tmm2, [{from_low} + {from_bytes}*1]",
                "tileloadd tmm3, [{from_low} + {from_bytes}*1 + 64]",
                "2:",
                "tileloadd tmm4, [{a} + {side}*1]",
                "tileloadd tmm6, [{b} + {side}*1]",
                "tileloadd tmm5, [{a} + {side}*1 + 1024]",
                "tileloadd tmm7, [{b} + {side}*1 + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {a}, 2048",
                "add {b}, 2048",
                "dec {turns}",
                "jnz 2b",
                "tilestored [{sums} + {row_bytes}*1], tmm0",
                "tilestored [{sums} + {row_bytes}*1 + 64], tmm1",
                "tilestored [{sums_low} + {row_bytes}*1], tmm2",
                "tilestored [{sums_low} + {row_bytes}*1 + 64], tmm3",
                a = inout(reg) a.as_ptr() => _,
                b = inout(reg) b.as_ptr() => _,
                turns = inout(reg) a.len() / (BLOCK * BLOCK) => _,
                side = in(reg) 64usize,
                from = in(reg) from,
                from_low = in(reg) from.wrapping_add(16 * from_stride),
                from_bytes = in(reg) from_bytes,
                sums = in(reg) sums,
                sums_low = in(reg) sums.wrapping_add(16 * stride),
                row_bytes = in(reg) row_bytes,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack),
            );
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: gives the registers back to their initial state; nothing of ours lives in them between blocks.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// What the sums of a block start from.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// Nothing.
    Zero,
    /// The same row for every row: a bias.
    Row(&'a [f32]),
    /// What is there already.
    Sums,
}
