//! The HTTP side, spoken to by HTTP alone.

mod access;
mod accounts;
pub(crate) mod archives;
mod bodies;
mod content;
mod evidence;
mod first_clips;
mod forms;
mod hostile;
mod keys;
mod library;
mod openapi;
pub(crate) mod pages;
mod passkeys;
mod pictures;
mod prompts;
mod second_factor;
mod security;
pub(crate) mod shared;
pub(crate) mod site;
mod storyboards;
mod sunsets;
mod traces;
mod videos;
mod webdav;
mod webhook_endpoints;
