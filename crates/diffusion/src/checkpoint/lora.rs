//! Low-rank additions to weights, merged when the weights are read: W + weight · α/rank · up · down.
//!
//! Source: Hu et al. 2021 (arXiv:2106.09685). Names are those of PEFT (`lora_A`, `lora_B`), of kohya's trainers
//! (`lora_down`, `lora_up`, with underscores for dots), and whole differences (`diff`, `diff_b`) beside them.

use std::collections::BTreeMap;
use std::path::Path;

use kernels::{Matrix, Path as ProductPath, Right, Start};

use super::{Checkpoint, Stored, damaged};
use crate::{Error, Result};

/// One file of additions.
#[derive(Clone, Debug)]
pub struct Lora {
    layers: BTreeMap<String, Layer>,
    checkpoint: Checkpoint,
}

/// What a file holds for one layer.
#[derive(Clone, Debug, Default)]
struct Layer {
    down: Option<Stored>,
    up: Option<Stored>,
    alpha: Option<f32>,
    difference: Option<Stored>,
    bias_difference: Option<Stored>,
}

/// What became of a file's layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoraReport {
    /// Layers that were merged.
    pub merged: usize,
    /// Layers that the model does not have.
    pub unknown: Vec<String>,
}

/// What is added to one tensor.
#[derive(Clone, Debug)]
pub(super) enum Addition {
    LowRank { down: Stored, up: Stored, factor: f32 },
    Difference { values: Stored, factor: f32 },
}

/// Ends of tensor names, and which part of a layer they are.
const ENDS: [(&str, Part); 12] = [
    (".lora_A.default.weight", Part::Down),
    (".lora_B.default.weight", Part::Up),
    (".lora_A.weight", Part::Down),
    (".lora_B.weight", Part::Up),
    (".lora_down.weight", Part::Down),
    (".lora_up.weight", Part::Up),
    (".lora.down.weight", Part::Down),
    (".lora.up.weight", Part::Up),
    (".alpha", Part::Alpha),
    (".diff", Part::Difference),
    (".diff_b", Part::BiasDifference),
    (".diff_m", Part::Modulation),
];

#[derive(Clone, Copy)]
enum Part {
    Down,
    Up,
    Alpha,
    Difference,
    BiasDifference,
    Modulation,
}

impl Lora {
    /// Reads which layers a file holds.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if it cannot be read, or holds no low-rank layer.
    pub fn open(path: &Path) -> Result<Self> {
        let checkpoint = Checkpoint::open(path)?;
        let mut layers: BTreeMap<String, Layer> = BTreeMap::new();
        for (name, stored) in &checkpoint.tensors {
            let Some((layer, part)) = ENDS.iter().find_map(|(end, part)| Some((name.strip_suffix(end)?, *part))) else {
                continue;
            };
            let layer = layers.entry(layer.to_owned()).or_default();
            match part {
                Part::Down => layer.down = Some(stored.clone()),
                Part::Up => layer.up = Some(stored.clone()),
                Part::Alpha if stored.elements() == 1 => layer.alpha = Some(stored.storage.decode(stored.bytes())[0]),
                Part::Alpha => return Err(damaged(path, format!("{name} is not one number"))),
                Part::Difference | Part::Modulation => layer.difference = Some(stored.clone()),
                Part::BiasDifference => layer.bias_difference = Some(stored.clone()),
            }
        }
        if layers.is_empty() {
            return Err(Error::ModelFile {
                path: path.to_owned(),
                reason: "it holds no low-rank layers: this is no LoRA".into(),
            });
        }
        Ok(Self { layers, checkpoint })
    }

    /// Names of the layers, as in the file.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.layers.keys().map(String::as_str)
    }
}

impl Checkpoint {
    /// Adds `weight` times a file of additions to what is read from now on. `layer_name` turns a layer's name in that
    /// file into its name here.
    ///
    /// # Errors
    /// [`Error::ModelFile`] if a layer has other shapes than the one it is for, or no layer is of this model.
    pub fn merge(
        &mut self,
        lora: &Lora,
        weight: f32,
        layer_name: impl Fn(&str) -> Option<String>,
    ) -> Result<LoraReport> {
        let path = lora.checkpoint.place();
        let mut report = LoraReport { merged: 0, unknown: Vec::new() };
        let mut additions: Vec<(String, Addition)> = Vec::new();
        for (name, layer) in &lora.layers {
            let ours = layer_name(name).unwrap_or_else(|| name.clone());
            // A modulation is a tensor of its own, without `.weight`.
            let weight_name = [format!("{ours}.weight"), ours.clone()].into_iter().find(|name| self.has(name));
            let Some(weight_name) = weight_name else {
                report.unknown.push(name.clone());
                continue;
            };
            let shape = self.shape(&weight_name).unwrap_or_default().to_vec();
            let (rows, elements) = (shape.first().copied().unwrap_or(1), shape.iter().product::<usize>());
            let misfit = |what: &Stored| {
                Err(damaged(path, format!("{name} is {:?}, which does not fit a layer of {shape:?}", what.shape)))
            };
            match (&layer.down, &layer.up) {
                (Some(down), Some(up)) => {
                    let rank = down.shape.first().copied().unwrap_or(0);
                    if rank == 0 || down.elements() != rank * (elements / rows.max(1)) {
                        return misfit(down);
                    }
                    if up.shape.first() != Some(&rows) || up.elements() != rows * rank {
                        return misfit(up);
                    }
                    let factor = weight * layer.alpha.map_or(1.0, |alpha| alpha / rank as f32);
                    let addition = Addition::LowRank { down: down.clone(), up: up.clone(), factor };
                    additions.push((weight_name.clone(), addition));
                }
                (None, None) => {}
                _ => return Err(damaged(path, format!("{name} has one of its two factors only"))),
            }
            let bias_name = format!("{ours}.bias");
            for (target, difference) in [(&weight_name, &layer.difference), (&bias_name, &layer.bias_difference)] {
                let Some(values) = difference else { continue };
                let Some(target_shape) = self.shape(target) else { return misfit(values) };
                if values.elements() != target_shape.iter().product::<usize>() {
                    return misfit(values);
                }
                additions.push((target.clone(), Addition::Difference { values: values.clone(), factor: weight }));
            }
            report.merged += 1;
        }
        if report.merged == 0 {
            let some = report.unknown.first().cloned().unwrap_or_default();
            return Err(Error::ModelFile {
                path: path.to_owned(),
                reason: format!("none of its layers is one of this model: it is for another one (it has {some})"),
            });
        }
        for (name, addition) in additions {
            self.additions.entry(name).or_default().push(addition);
        }
        Ok(report)
    }
}

impl Addition {
    /// Adds to the values of the tensor, whose length was compared when the addition was made.
    pub(super) fn add_to(&self, values: &mut [f32]) {
        match self {
            Self::LowRank { down, up, factor } => {
                let rank = down.shape[0];
                let mut up = up.storage.decode(up.bytes());
                up.iter_mut().for_each(|value| *value *= factor);
                let down = down.storage.decode(down.bytes());
                let (rows, columns) = (up.len() / rank, down.len() / rank);
                let (up, down) = (Matrix::new(&up, rows, rank, rank), Matrix::new(&down, rank, columns, columns));
                let down = Right::on(ProductPath::Vectors, down);
                kernels::multiply_by(up, &down, values, columns, Start::Sums);
            }
            Self::Difference { values: difference, factor } => {
                for (value, added) in values.iter_mut().zip(difference.storage.decode(difference.bytes())) {
                    *value += factor * added;
                }
            }
        }
    }
}
