//! The HTTP side, spoken to by HTTP alone.

mod access;
mod accounts;
mod bodies;
mod content;
mod forms;
mod hostile;
mod keys;
mod openapi;
mod pages;
mod passkeys;
mod pictures;
mod second_factor;
mod shared;
mod site;
mod videos;
mod webhook_endpoints;
