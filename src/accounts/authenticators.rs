//! Who keeps a passkey, by what it says of itself: the AAGUID that came with it.
//!
//! For its owner to recognise it, and for nothing else: a passkey is taken without attestation, so that anybody may
//! call theirs anything. What is not in this list is called by the browser in which it was made.
//!
//! The names are those of the list that the makers keep together, as of August 2026
//! (<https://github.com/passkeydeveloper/passkey-authenticator-aaguids>, `aaguid.json`), of which the common ones are
//! here. Security keys are not: without attestation browsers leave their AAGUID out.

/// What keeps the passkeys of this AAGUID is called.
pub fn name_of(aaguid: u128) -> Option<&'static str> {
    let known = KNOWN.iter().find(|(known, _)| *known == aaguid);
    known.map(|(_, name)| *name)
}

const KNOWN: [(u128, &str); 24] = [
    (0x08987058_cadc_4b81_b6e1_30de50dcbe96, "Windows Hello"),
    (0x0ea242b4_43c4_4a1b_8b17_dd6d0b6baec6, "Keeper"),
    (0x50726f74_6f6e_5061_7373_50726f746f6e, "Proton Pass"),
    (0x531126d6_e717_415c_9320_3d9aa6981239, "Dashlane"),
    (0x53414d53_554e_4700_0000_000000000000, "Samsung Pass"),
    (0x6028b017_b1d4_4c02_b4b3_afcdafc96bb2, "Windows Hello"),
    (0x771b48fd_d3d4_4f74_9232_fc157ab0507a, "Edge on Mac"),
    (0x9addb28c_b46f_4402_808f_019651441ff3, "KeePassPasskey"),
    (0x9ddd1817_af5a_4672_a2b9_3e3dd95000a9, "Windows Hello"),
    (0xadce0002_35bc_c60a_648b_0b25f1f05503, "Chrome on Mac"),
    (0xb35a26b2_8f6e_4697_ab1d_d44db4da28c6, "Zoho Vault"),
    (0xb5397666_4885_aa6b_cebf_e52262a439a2, "Chromium Browser"),
    (0xb78a0a55_6ef8_d246_a042_ba0f6d55050c, "LastPass"),
    (0xb84e4048_15dc_4dd0_8640_f4f60813c8af, "NordPass"),
    (0xbada5566_a7aa_401f_bd96_45619a55120d, "1Password"),
    (
        0xd3452668_01fd_4c12_926c_83a4204853aa,
        "Microsoft Password Manager",
    ),
    (0xd548826e_79b4_db40_a3d8_11116f7e8349, "Bitwarden"),
    (
        0xdd4ec289_e01d_41c9_bb89_70fa845d4bf2,
        "iCloud Keychain (Managed)",
    ),
    (
        0xea9b8d66_4d01_1d21_3ce4_b6b48cb575d4,
        "Google Password Manager",
    ),
    (0xeaecdef2_1c31_5634_8639_f1cbd9c00a08, "KeePassDX"),
    (0xf3809540_7f14_49c1_a8b3_8f813b225541, "Enpass"),
    (
        0xfa37f553_f9b6_4adb_ac53_8bbb57ebdf0d,
        "Norton Password Manager",
    ),
    (0xfbfc3007_154e_4ecc_8c0b_6e020557d7bd, "Apple Passwords"),
    (0xfdb141b2_5d84_443e_8a35_4698c205a502, "KeePassXC"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_one_name_and_what_is_left_out_has_none() {
        assert_eq!(name_of(KNOWN[15].0), Some("Microsoft Password Manager"));
        assert_eq!(name_of(0), None, "a browser left it out");
        assert!(KNOWN.is_sorted_by(|one, next| one.0 < next.0), "each once");
        for (_, name) in KNOWN {
            assert!(name.chars().count() <= 64, "{name}");
        }
    }
}
