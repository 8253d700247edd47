//! Where a video came from: the visible mark, the C2PA manifest and the signing keys.
