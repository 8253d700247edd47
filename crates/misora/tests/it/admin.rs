//! What an operator does at the machine itself.

use crate::Desk;

#[test]
fn the_audit_log_is_verified() {
    let desk = Desk::new();
    let told = desk.succeed(&["admin", "audit", "verify"]);
    assert!(told.starts_with("0 lines, head 0000"), "{told}");
    desk.succeed(&["admin", "key", "--email", "mika@example.org"]);
    let told = desk.succeed(&["admin", "audit", "verify"]);
    assert!(told.starts_with("1 lines, unbroken since 20") && told.contains(", head "), "{told}");
    assert!(desk.succeed(&["admin", "audit"]).contains("key.create"));
}
