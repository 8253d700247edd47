//! Multiplications and additions in a second of one core, by linear layer and unit:
//! `cargo run --release -p kernels --example speed`. Counted in the processor's time, so that others on the machine disturb
//! little (Linux).

use kernels::{Format, Keys, Linear, Rows, Then, Unit};

/// Seconds that the threads of this program have computed so far.
fn seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux lists the threads of a program");
    let nanoseconds = tasks.flatten().map(|task| {
        let line = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        line.split(' ').next().and_then(|number| number.parse::<f64>().ok()).unwrap_or(0.0)
    });
    nanoseconds.sum::<f64>() / 1e9
}

fn main() {
    for (rows, depth, outputs) in [(1950, 1536, 1536), (1950, 1536, 8960), (1950, 8960, 1536)] {
        let number = |index: usize| (index * 7919 % 2003) as f32 / 1001.0 - 1.0;
        let x: Vec<f32> = (0..rows * depth).map(number).collect();
        let weight: Vec<f32> = (0..outputs * depth).map(number).collect();
        let mut out = vec![0.0; rows * outputs];
        for format in [Format::Bf16, Format::Int8] {
            for unit in Unit::available(format).into_iter().filter(|unit| *unit != Unit::Portable) {
                let linear = Linear::on(unit, format, &weight, depth, None);
                let mut packed = Rows::new(format);
                let (mut packing, mut multiplying) = (f64::MAX, f64::MAX);
                for _ in 0..5 {
                    let started = seconds();
                    packed.set(&x, depth);
                    packing = packing.min(seconds() - started);
                    let started = seconds();
                    linear.forward(&packed, Then::Nothing, &mut out);
                    multiplying = multiplying.min(seconds() - started);
                }
                let operations = 2.0 * (rows * depth * outputs) as f64;
                println!(
                    "{rows} × {depth} → {outputs}, {format:?}, {unit:?}: {:.0} G/s a core; rounding {:.1} ms, \
                     product {:.1} ms",
                    operations / multiplying / 1e9,
                    packing * 1e3,
                    multiplying * 1e3
                );
            }
        }
    }
    for (tokens, keys) in [(1950, 1950), (1950, 96), (7800, 7800)] {
        let (heads, head_width) = (12, 128);
        let width = heads * head_width;
        let number = |index: usize| (index * 7919 % 2003) as f32 / 1001.0 - 1.0;
        let query: Vec<f32> = (0..tokens * width).map(number).collect();
        let key: Vec<f32> = (0..keys * width).map(number).collect();
        let mut out = vec![0.0; query.len()];
        let (mut ordering, mut attending) = (f64::MAX, f64::MAX);
        for _ in 0..3 {
            let started = seconds();
            let known = Keys::new(heads, head_width, &key, &key, None);
            ordering = ordering.min(seconds() - started);
            let started = seconds();
            known.attend(&query, 0.1, &mut out);
            attending = attending.min(seconds() - started);
        }
        let operations = 4.0 * (tokens * keys * width) as f64;
        println!(
            "attention, {tokens} queries, {keys} keys: {:.0} G/s a core; ordering {:.1} ms, attention {:.1} ms",
            operations / attending / 1e9,
            ordering * 1e3,
            attending * 1e3
        );
    }
}
