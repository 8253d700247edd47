//! The loops behind the API: worker, webhooks, batches, housekeeping. Time is the test's.

mod batches;
pub(crate) mod bed;
pub(crate) mod killed;
mod kinds;
mod letters;
mod outputs;
mod shutdown;
mod webhooks;
mod worker;
