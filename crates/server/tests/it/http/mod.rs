//! The HTTP side, spoken to by HTTP alone.

mod access;
mod accounts;
mod archives;
mod bodies;
mod content;
mod first_clips;
mod forms;
mod hostile;
mod keys;
mod library;
mod openapi;
mod pages;
mod passkeys;
mod pictures;
mod second_factor;
mod security;
mod shared;
mod site;
mod videos;
mod webhook_endpoints;
