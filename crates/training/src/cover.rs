//! Which actor is to be seen in each cell of a clip's latents, and what it costs not to know.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};

use media::Size;

use crate::clips::FRAME_RATE;
use crate::paper::{ActorKind, Box2, Colour, Scene};

/// What covers a cell of the latent grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell {
    /// Only the landscape.
    Empty,
    /// A bit of an actor: nobody is asked.
    Unclear,
    /// An actor.
    Covered(ActorKind, Colour, Bearing),
}

/// Where the actor that covers a cell is, as seen from the cell, in cells: centre to the right and below, width, height,
/// and how far the centre goes in half a second.
pub(crate) type Bearing = [f32; BEARINGS];

/// Numbers in a [`Bearing`].
pub(crate) const BEARINGS: usize = 6;

/// Who covers each cell, in the order of the latents.
pub(crate) fn cover(scene: &Scene, size: Size, times_s: &[f32], rows: usize, columns: usize) -> Vec<Cell> {
    let truth = scene.truth(size);
    let mut cells = Vec::with_capacity(times_s.len() * rows * columns);
    for &time_s in times_s {
        let shot = truth.shots.iter().rev().find(|shot| shot.start_s <= time_s).unwrap_or(&truth.shots[0]);
        // The extra that comes first in the list wins a draw with those behind it.
        let seen: Vec<_> = shot
            .actors
            .iter()
            .filter_map(|actor| {
                let at = ((time_s - shot.start_s) * FRAME_RATE as f32) as usize;
                let point = |at: usize| actor.track.get(at).or(actor.track.last());
                let (now, soon) = (point(at)?, point(at + FRAME_RATE as usize / 2)?);
                (now.opacity > 0.3).then_some((&actor.actor, now.area, soon.area))
            })
            .collect();
        for row in 0..rows {
            for column in 0..columns {
                let share = |from: f32, length: f32, at: usize, count: usize| {
                    let (low, high) = (at as f32 / count as f32, (at + 1) as f32 / count as f32);
                    ((from + length).min(high) - from.max(low)).max(0.0) * count as f32
                };
                let best = seen
                    .iter()
                    .map(|(actor, area, soon)| {
                        let covered = share(area.x, area.w, column, columns) * share(area.y, area.h, row, rows);
                        (actor, area, soon, covered)
                    })
                    .max_by(|a, b| a.3.total_cmp(&b.3));
                cells.push(match best {
                    Some((actor, area, soon, covered)) if covered > 0.4 => {
                        let grid = [columns as f32, rows as f32];
                        let cell = [column as f32 + 0.5, row as f32 + 0.5];
                        Cell::Covered(actor.kind, actor.colour, bearing(area, soon, cell, grid))
                    }
                    Some((.., covered)) if covered > 0.1 => Cell::Unclear,
                    _ => Cell::Empty,
                });
            }
        }
    }
    cells
}

/// `cell` is its middle, `grid` its columns and rows.
fn bearing(area: &Box2, soon: &Box2, cell: [f32; 2], grid: [f32; 2]) -> Bearing {
    let ((x, y), (later_x, later_y)) = (area.centre(), soon.centre());
    [
        x * grid[0] - cell[0],
        y * grid[1] - cell[1],
        area.w * grid[0],
        area.h * grid[1],
        (later_x - x) * grid[0],
        (later_y - y) * grid[1],
    ]
}

/// The losses of kind and colour of what covers each cell; `[cells, classes + 1]` each, the last class is none.
pub(crate) fn cells_loss(kinds: Tensor<2>, colours: Tensor<2>, cells: &[Cell]) -> Tensor<1> {
    let classes = |none: usize, of: fn(ActorKind, Colour) -> usize| -> Vec<Vec<usize>> {
        let class = |cell: &Cell| match *cell {
            Cell::Empty => vec![none],
            Cell::Unclear => vec![],
            Cell::Covered(kind, colour, _) => vec![of(kind, colour)],
        };
        cells.iter().map(class).collect()
    };
    cell_loss(kinds, &classes(ActorKind::ALL.len(), |kind, _| kind.index()))
        + cell_loss(colours, &classes(Colour::ALL.len(), |_, colour| colour.index()))
}

/// Cross-entropy of the cells: half of it is about those that an actor covers, few as they are.
fn cell_loss(logits: Tensor<2>, truths: &[Vec<usize>]) -> Tensor<1> {
    let classes = logits.dims()[1];
    let empty = truths.iter().filter(|truth| truth.contains(&(classes - 1))).count();
    let covered = truths.iter().filter(|truth| !truth.is_empty()).count() - empty;
    let weight = |class: usize| 0.5 / if class == classes - 1 { empty } else { covered }.max(1) as f32;
    let targets = one_hot(truths, classes, weight, &logits.device());
    -(targets * log_softmax(logits, 1)).sum()
}

/// The mean absolute error, in cells, of the bearings of covered cells; `[cells, BEARINGS]`.
pub(crate) fn bearings_loss(bearings: Tensor<2>, cells: &[Cell]) -> Tensor<1> {
    let covered = cells.iter().filter(|cell| matches!(cell, Cell::Covered(..))).count();
    let (mut truths, mut weights) = (Vec::new(), Vec::with_capacity(cells.len()));
    for cell in cells {
        let (truth, weight) = match *cell {
            Cell::Covered(_, _, bearing) => (bearing, 1.0 / (covered * BEARINGS) as f32),
            _ => ([0.0; BEARINGS], 0.0),
        };
        truths.extend(truth);
        weights.push(weight);
    }
    let device = bearings.device();
    let truths = Tensor::from_data(TensorData::new(truths, [cells.len(), BEARINGS]), &device);
    let weights = Tensor::<2>::from_data(TensorData::new(weights, [cells.len(), 1]), &device);
    ((bearings - truths).abs() * weights).sum()
}

/// The weight of its class where a class is right, zero elsewhere.
pub(crate) fn one_hot(
    truths: &[Vec<usize>],
    classes: usize,
    weight: impl Fn(usize) -> f32,
    device: &Device,
) -> Tensor<2> {
    let mut targets = vec![0.0_f32; truths.len() * classes];
    for (row, truth) in truths.iter().enumerate() {
        truth.iter().for_each(|&class| targets[row * classes + class] = weight(class));
    }
    Tensor::from_data(TensorData::new(targets, [truths.len(), classes]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paper::{Mixture, Split};

    const SIZE: Size = Size::new(144, 80);

    #[test]
    fn a_cell_is_covered_by_who_stands_there() {
        let scenes = (0..200).map(|seed| Scene::sample(seed, Split::Train, &Mixture::simple()));
        for scene in scenes {
            let main = scene.shots[0].main().clone();
            let cells = cover(&scene, SIZE, &[2.0], 5, 9);
            assert_eq!(cells.len(), 45);
            let covered = cells.iter().filter(|cell| matches!(cell, Cell::Covered(..))).count();
            assert!(covered < 45, "{main:?} covers everything");
            for cell in cells {
                if let Cell::Covered(kind, colour, _) = cell {
                    assert_eq!((kind, colour), (main.kind, main.colour));
                }
            }
        }
    }

    /// All cells of one actor point to the same place.
    #[test]
    fn bearings_meet_in_the_middle_of_the_actor() {
        for seed in 0..100 {
            let scene = Scene::sample(seed, Split::Train, &Mixture::simple());
            let middle = scene.truth(SIZE).shots[0].actors[0].track[24].area.centre();
            for (at, cell) in cover(&scene, SIZE, &[2.0], 5, 9).into_iter().enumerate() {
                if let Cell::Covered(_, _, [right, below, ..]) = cell {
                    let (x, y) = ((at % 9) as f32 + 0.5 + right, (at / 9) as f32 + 0.5 + below);
                    assert!((x - middle.0 * 9.0).abs() < 1e-3 && (y - middle.1 * 5.0).abs() < 1e-3, "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn only_covered_cells_are_asked_for_bearings() {
        let device = Device::flex();
        let cells =
            [Cell::Empty, Cell::Covered(ActorKind::Cat, Colour::Red, [1.0, 0.0, 2.0, 2.0, 0.0, 0.0]), Cell::Unclear];
        let said = Tensor::<2>::from_floats([[9.0; 6], [1.0, 3.0, 2.0, 2.0, 0.0, 0.0], [9.0; 6]], &device);
        assert!((bearings_loss(said, &cells).into_scalar::<f32>() - 0.5).abs() < 1e-6);
    }
}
