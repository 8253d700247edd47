use burn::optim::*;
use burn::tensor::*;
use diffusion::*;
use std::time::Instant;
fn main() {
    let device = Device::flex().autodiff();
    let mode = std::env::args().nth(1).unwrap_or("dit".into());
    let b: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let t: usize = std::env::args().nth(3).unwrap().parse().unwrap();
    if mode == "dit" {
        let c = DitConfig::nano();
        let mut m = Dit::new(&c, &device);
        use burn::module::Module;
        println!("params {}", m.num_params());
        let mut opt = AdamWConfig::new().init();
        for i in 0..4 {
            let s = Instant::now();
            let x = Tensor::<5>::random([b, t, 5, 9, 48], Distribution::Normal(0., 1.), &device);
            let ts = Tensor::<2>::random([b, t], Distribution::Uniform(0., 1.), &device);
            let text = TextStates {
                tokens: Tensor::random([b, 48, 192], Distribution::Normal(0., 1.), &device),
                mask: Tensor::zeros([b, 1, 1, 48], &device),
                pooled: Tensor::random([b, 192], Distribution::Normal(0., 1.), &device),
            };
            let pos = LatentPositions { times_s: (0..t).map(|i| i as f32 * 0.66).collect(), rows: 5, columns: 9 };
            let y = m.forward(x.clone(), ts, &text, &pos);
            let loss = (y - x).square().mean();
            let f = s.elapsed();
            let g = loss.backward();
            let bw = s.elapsed();
            let g = GradientsParams::from_grads(g, &m);
            m = opt.step(1e-3, m, g);
            println!(
                "{i} fwd {:?} bwd {:?} opt {:?}  {:.1} samples/s",
                f,
                bw - f,
                s.elapsed() - bw,
                b as f64 / s.elapsed().as_secs_f64()
            );
        }
    } else {
        let c = VaeConfig::nano();
        let mut m = Vae::new(&c, &device);
        use burn::module::Module;
        println!("params {}", m.num_params());
        let mut opt = AdamWConfig::new().init();
        for i in 0..4 {
            let s = Instant::now();
            let x = Tensor::<5>::random([b, 1 + 8 * (t - 1), 80, 144, 3], Distribution::Normal(0., 1.), &device);
            let p = m.posterior(x.clone()).unwrap();
            let y = m.reconstruct(p.mean);
            let loss = (y - x).abs().mean();
            let f = s.elapsed();
            let g = loss.backward();
            let bw = s.elapsed();
            let g = GradientsParams::from_grads(g, &m);
            m = opt.step(1e-3, m, g);
            println!(
                "{i} fwd {:?} bwd {:?} opt {:?}  {:.1} samples/s",
                f,
                bw - f,
                s.elapsed() - bw,
                b as f64 / s.elapsed().as_secs_f64()
            );
        }
    }
}
