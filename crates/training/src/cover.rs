//! Which actor is to be seen in each cell of a clip's latents.

use crate::clips::NATIVE_SIZES;
use crate::paper::{ActorKind, Colour, Scene};

/// What covers a cell of the latent grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Only the landscape.
    Empty,
    /// A bit of an actor: nobody is asked.
    Unclear,
    /// An actor.
    Covered(ActorKind, Colour),
}

/// Who covers each cell, in the order of the latents.
pub(crate) fn cover(scene: &Scene, size: usize, times_s: &[f32], rows: usize, columns: usize) -> Vec<Cell> {
    let truth = scene.truth(NATIVE_SIZES[size]);
    let mut cells = Vec::with_capacity(times_s.len() * rows * columns);
    for &time_s in times_s {
        let shot = truth.shots.iter().rev().find(|shot| shot.start_s <= time_s).unwrap_or(&truth.shots[0]);
        // The extra that comes first in the list wins a draw with those behind it.
        let seen: Vec<_> = shot
            .actors
            .iter()
            .filter_map(|actor| {
                let at = ((time_s - shot.start_s) * 12.0) as usize;
                let point = actor.track.get(at).or(actor.track.last())?;
                (point.opacity > 0.3).then_some((&actor.actor, point.area))
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
                    .map(|(actor, area)| {
                        (actor, share(area.x, area.w, column, columns) * share(area.y, area.h, row, rows))
                    })
                    .max_by(|a, b| a.1.total_cmp(&b.1));
                cells.push(match best {
                    Some((actor, covered)) if covered > 0.4 => Cell::Covered(actor.kind, actor.colour),
                    Some((_, covered)) if covered > 0.1 => Cell::Unclear,
                    _ => Cell::Empty,
                });
            }
        }
    }
    cells
}
