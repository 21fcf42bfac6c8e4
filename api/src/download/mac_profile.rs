//! The configuration profile for managed Macs: what the client may do without asking, and that it may start by itself
//! (INST-55). It carries what the certificate says that really signs the client.

use super::programs::MacSigning;
use crate::xml;

/// The media type of a profile.
pub(super) const MEDIA_TYPE: &str = "application/x-apple-aspen-config";
/// The profile's file name.
pub(super) const FILE_NAME: &str = "bomgar-pec.mobileconfig";

/// The profile, as a property list.
pub(super) fn profile(signing: &MacSigning) -> String {
    let text = xml::escaped_text;
    let identifier = text(&signing.identifier);
    let team = text(&signing.team_identifier);
    let requirement = text(&signing.code_requirement);
    let prefix = text(prefix_of(&signing.identifier));
    let service = |name: &str, answer: &str| {
        format!(
            "<key>{name}</key><array><dict><key>Identifier</key><string>{identifier}</string>\
             <key>IdentifierType</key><string>bundleID</string>\
             <key>CodeRequirement</key><string>{requirement}</string>{answer}</dict></array>"
        )
    };
    let allowed = "<key>Allowed</key><true/>";
    let users_choice =
        "<key>Authorization</key><string>AllowStandardUserToSetSystemService</string>";
    let rule = |kind: &str, value: &str| {
        format!(
            "<dict><key>RuleType</key><string>{kind}</string><key>RuleValue</key><string>{value}</string></dict>"
        )
    };
    let payload = |kind: &str, part: &str, content: &str| {
        format!(
            "<dict><key>PayloadType</key><string>{kind}</string>\
             <key>PayloadIdentifier</key><string>{identifier}.profile.{part}</string>\
             <key>PayloadUUID</key><string>{}</string><key>PayloadVersion</key><integer>1</integer>{content}</dict>",
            uuid_of(&format!("{}.{part}", signing.identifier))
        )
    };
    let privacy = payload(
        "com.apple.TCC.configuration-profile-policy",
        "privacy",
        &format!(
            "<key>Services</key><dict>{}{}{}</dict>",
            service("Accessibility", allowed),
            service("SystemPolicyAllFiles", allowed),
            service("ScreenCapture", users_choice),
        ),
    );
    let login_items = payload(
        "com.apple.servicemanagement",
        "login-items",
        &format!(
            "<key>Rules</key><array>{}{}{}</array>",
            rule("LabelPrefix", "Bomgar"),
            rule("LabelPrefix", &prefix),
            rule("TeamIdentifier", &team),
        ),
    );
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\"><dict><key>PayloadContent</key><array>{privacy}{login_items}</array>\
         <key>PayloadDisplayName</key><string>Jump Client</string>\
         <key>PayloadIdentifier</key><string>{identifier}.profile</string>\
         <key>PayloadScope</key><string>System</string><key>PayloadType</key><string>Configuration</string>\
         <key>PayloadUUID</key><string>{}</string><key>PayloadVersion</key><integer>1</integer></dict></plist>\n",
        uuid_of(&signing.identifier)
    )
}

/// `com.bomgar` of `com.bomgar.bomgar-pec`: what the labels of all its tasks begin with.
fn prefix_of(identifier: &str) -> &str {
    identifier
        .rsplit_once('.')
        .map_or(identifier, |(prefix, _)| prefix)
}

/// The same profile has the same ids wherever it is served, so that a newer one takes the place of an older one.
fn uuid_of(name: &str) -> uuid::Uuid {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(name.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signing() -> MacSigning {
        MacSigning {
            identifier: "com.bomgar.bomgar-pec".to_owned(),
            team_identifier: "B65TM49E24".to_owned(),
            code_requirement:
                "identifier \"com.bomgar.bomgar-pec\" and certificate leaf [subject.OU] = B65TM49E24"
                    .to_owned(),
        }
    }

    /// INST-55
    #[test]
    fn the_profile_says_what_the_guide_says() {
        let profile = profile(&signing());
        for part in [
            "<key>Identifier</key><string>com.bomgar.bomgar-pec</string><key>IdentifierType</key><string>bundleID</string>",
            "<key>Accessibility</key><array>",
            "<key>SystemPolicyAllFiles</key><array>",
            "<key>Authorization</key><string>AllowStandardUserToSetSystemService</string>",
            "= B65TM49E24</string>",
            "<key>RuleType</key><string>LabelPrefix</string><key>RuleValue</key><string>Bomgar</string>",
            "<key>RuleType</key><string>LabelPrefix</string><key>RuleValue</key><string>com.bomgar</string>",
            "<key>RuleType</key><string>TeamIdentifier</string><key>RuleValue</key><string>B65TM49E24</string>",
        ] {
            assert!(profile.contains(part), "no {part} in {profile}");
        }
        assert_eq!(profile.matches("<key>Allowed</key><true/>").count(), 2);
        assert_eq!(
            profile,
            super::profile(&signing()),
            "it is the same each time"
        );
    }

    /// INST-55: those of the certificate that really signs, whatever it is.
    #[test]
    fn another_certificate_makes_another_profile() {
        let own = MacSigning {
            identifier: "org.example.jump".to_owned(),
            team_identifier: "ABCDE12345".to_owned(),
            code_requirement: "identifier <x> & anchor apple".to_owned(),
        };
        let profile = profile(&own);
        for part in [
            "<string>org.example.jump</string>",
            "<string>ABCDE12345</string>",
            "<string>org.example</string>",
            "identifier &lt;x&gt; &amp; anchor apple",
        ] {
            assert!(profile.contains(part), "no {part} in {profile}");
        }
        assert!(!profile.contains("B65TM49E24"));
    }
}
