//! Any frame at all, and any bytes at all.
#![allow(
    clippy::unwrap_used,
    reason = "all of it is test code, which the lint can not see"
)]

use link_protocol::limits::*;
use link_protocol::*;
use proptest::prelude::*;

fn any_text(chars_max: usize) -> impl Strategy<Value = String> {
    proptest::string::string_regex(&format!("[^\\p{{Cc}}\u{fffe}\u{ffff}]{{0,{chars_max}}}"))
        .unwrap()
}

fn any_fact() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(any_text(20))
}

prop_compose! {
    fn any_facts()(
        hostname in any_fact(), fqdn in any_fact(), operating_system in any_fact(), console_user in any_fact(),
        machine_id in any_fact(), time_zone in any_fact(),
        private_ip in proptest::option::of(any::<std::net::IpAddr>().prop_map(|ip| ip.to_string())),
        install_mode in proptest::option::of(prop_oneof![Just(InstallMode::User), Just(InstallMode::Service)]),
        utc_offset_minutes in proptest::option::of(-1080..=1080),
        disabled in any::<Option<bool>>(),
        listen_port in any::<Option<u16>>(),
    ) -> Facts {
        Facts {
            hostname, fqdn, operating_system, private_ip, console_user, install_mode, machine_id, time_zone,
            utc_offset_minutes, disabled, listen_port,
        }
    }
}

prop_compose! {
    fn any_figures()(
        cpu_permille in proptest::option::of(0..=1000_u32),
        uptime_seconds in proptest::option::of(0..=NUMBER_MAX),
        memory_total_bytes in proptest::option::of(0..=NUMBER_MAX),
        memory_used_bytes in proptest::option::of(0..=NUMBER_MAX),
        disks in proptest::collection::vec((any_text(30), 0..=NUMBER_MAX, 0..=NUMBER_MAX), 0..5),
    ) -> Figures {
        let disks = disks.into_iter().map(|(mount, total_bytes, free_bytes)| Disk { mount, total_bytes, free_bytes });
        Figures { cpu_permille, uptime_seconds, memory_total_bytes, memory_used_bytes, screen_png: None, disks: disks.collect() }
    }
}

fn any_identity() -> impl Strategy<Value = Identity> {
    let token = || "[A-Za-z0-9_-]{32,128}".prop_map(Secret::new);
    prop_oneof![
        (1..=NUMBER_MAX, token())
            .prop_map(|(client_id, token)| Identity::Resume(Resume { client_id, token })),
        (
            "[A-Za-z0-9]{32}",
            token(),
            "[0-9a-f]{32}",
            any_fact(),
            proptest::option::of(1..=5_256_000_u32)
        )
            .prop_map(
                |(installer_id, secret, attempt, name, max_offline_minutes)| {
                    let overrides = Overrides {
                        name,
                        max_offline_minutes,
                        ..Overrides::default()
                    };
                    Identity::Register(Register {
                        installer_id,
                        secret,
                        attempt,
                        overrides,
                    })
                }
            ),
    ]
}

fn any_client_frame() -> impl Strategy<Value = ClientFrame> {
    let lsid = || "[A-Za-z0-9_-]{1,64}";
    let code = || "newer_[a-z0-9_]{1,30}";
    prop_oneof![
        (
            proptest::collection::vec(any::<u16>(), 1..8),
            "[0-9.]{1,20}",
            "[0-9a-f]{32}",
            any_identity(),
            any_facts(),
            proptest::collection::vec(lsid(), 0..4),
        )
            .prop_map(
                |(protocols, agent_version, boot_id, identity, facts, sessions)| {
                    ClientFrame::Hello(Box::new(Hello {
                        protocols,
                        agent_version,
                        boot_id,
                        identity,
                        facts,
                        sessions,
                    }))
                }
            ),
        (1..=NUMBER_MAX, any_facts(), any_figures()).prop_map(|(sequence, facts, figures)| {
            ClientFrame::CheckIn(Box::new(CheckIn {
                sequence,
                facts,
                figures,
            }))
        }),
        lsid().prop_map(|lsid| ClientFrame::SessionStarted { lsid }),
        (lsid(), code(), any_text(40)).prop_map(|(lsid, code, detail)| {
            ClientFrame::SessionFailed {
                lsid,
                reason: SessionFailReason::Other(code),
                detail,
            }
        }),
        (lsid(), code()).prop_map(|(lsid, code)| ClientFrame::SessionEnded {
            lsid,
            reason: SessionEndReason::Other(code)
        }),
        Just(ClientFrame::TokenStored {}),
        (1..=NUMBER_MAX).prop_map(|version| ClientFrame::AnchorsStored { version }),
        (1..=NUMBER_MAX).prop_map(|version| ClientFrame::AddressesStored { version }),
        (0..=NUMBER_MAX).prop_map(|nonce| ClientFrame::Pong { nonce }),
        Just(ClientFrame::Goodbye {}),
    ]
}

fn any_anchors() -> impl Strategy<Value = AnchorList> {
    let anchor = prop_oneof![
        any::<[u8; 32]>().prop_map(Anchor::PublicKey),
        Just(Anchor::System),
        "newer:[a-z]{1,20}".prop_map(Anchor::Unknown),
    ];
    (1..=NUMBER_MAX, proptest::collection::vec(anchor, 0..7)).prop_map(|(version, mut list)| {
        list.push(Anchor::System);
        AnchorList { version, list }
    })
}

fn any_server_frame() -> impl Strategy<Value = ServerFrame> {
    let lsid = || "[A-Za-z0-9_-]{1,64}";
    let token = || "[A-Za-z0-9_-]{32,128}".prop_map(Secret::new);
    prop_oneof![
        (
            (any::<u16>(), 1..=NUMBER_MAX, proptest::option::of(token())),
            (
                HEARTBEAT_SECONDS,
                CHECK_IN_SECONDS,
                any::<bool>(),
                any_anchors(),
                0..=NUMBER_MAX
            ),
        )
            .prop_map(
                |(
                    (protocol, client_id, token),
                    (heartbeat, check_in, check_in_now, anchors, time),
                )| {
                    ServerFrame::Welcome(Box::new(Welcome {
                        protocol,
                        client_id,
                        token,
                        heartbeat_seconds: heartbeat,
                        check_in_seconds: check_in,
                        check_in_now,
                        anchors,
                        site_time_ms: time,
                    }))
                }
            ),
        (
            "newer_[a-z]{1,20}",
            any_text(60),
            proptest::option::of(0..=RETRY_MS_MAX),
            any::<bool>()
        )
            .prop_map(|(code, message, retry_after_ms, is_final)| {
                ServerFrame::Refused(Refused {
                    code: RefusedCode::Other(code),
                    message,
                    retry_after_ms,
                    is_final,
                })
            }),
        (1..=NUMBER_MAX).prop_map(|sequence| ServerFrame::CheckInRecorded { sequence }),
        (lsid(), any_text(60), 0..=RETRY_MS_MAX).prop_map(
            |(lsid, user_display_name, answer_within_ms)| {
                ServerFrame::StartSession(StartSession {
                    lsid,
                    user_display_name,
                    answer_within_ms,
                })
            }
        ),
        (lsid(), any_text(60))
            .prop_map(|(lsid, reason)| ServerFrame::EndSession(EndSession { lsid, reason })),
        token().prop_map(|token| ServerFrame::RotateToken { token }),
        any_anchors().prop_map(ServerFrame::Anchors),
        (
            1..=NUMBER_MAX,
            proptest::collection::vec("https://[a-z0-9.-]{1,60}(:[1-9][0-9]{0,3})?", 1..5)
        )
            .prop_map(|(version, urls)| ServerFrame::Addresses(AddressList { version, urls })),
        (0..=NUMBER_MAX).prop_map(|nonce| ServerFrame::Ping { nonce }),
        (0..=RETRY_MS_MAX).prop_map(|after_ms| ServerFrame::RetryLater { after_ms }),
    ]
}

proptest! {
    #[test]
    fn any_client_frame_reads_back_as_written(frame in any_client_frame()) {
        prop_assert_eq!(ClientFrame::parse(&frame.to_text().unwrap()), Ok(frame));
    }

    #[test]
    fn any_server_frame_reads_back_as_written(frame in any_server_frame()) {
        prop_assert_eq!(ServerFrame::parse(&frame.to_text().unwrap()), Ok(frame));
    }

    /// threat L
    #[test]
    fn threat_l_no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = ClientFrame::parse(&text);
        let _ = ServerFrame::parse(&text);
        let _ = KeyInfo::decode(&text);
    }

    /// threat L
    #[test]
    fn threat_l_no_damage_to_a_good_frame_makes_the_reader_panic(
        frame in any_client_frame(), place in any::<prop::sample::Index>(), with in any::<char>(), cut in any::<bool>(),
    ) {
        let mut text: Vec<char> = frame.to_text().unwrap().chars().collect();
        let place = place.index(text.len());
        if cut { text.truncate(place) } else { text[place] = with }
        if let Ok(frame) = ClientFrame::parse(&text.iter().collect::<String>()) {
            prop_assert!(frame.to_text().is_ok());
        }
    }
}
