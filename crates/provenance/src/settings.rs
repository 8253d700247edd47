//! How the C2PA library is used here: no network, and only the anchors that the caller names.

use c2pa::Settings;

/// Settings with the installation's root as the first anchor list and the operator's as the second.
pub(crate) fn settings(installation_root: Option<&str>, peers: Option<&str>) -> c2pa::Result<Settings> {
    let mut settings = Settings::new();
    settings.verify.ocsp_fetch = false;
    settings.verify.remote_manifest_fetch = false;
    // An empty list of hosts blocks every request, whatever a manifest asks for.
    settings.core.allowed_network_hosts = Some(Vec::new());
    settings.core.decode_identity_assertions = false;
    settings.trust.trust_anchors = installation_root.map(str::to_owned);
    settings.trust.user_anchors = peers.map(str::to_owned);
    Ok(settings)
}
