//! The tables, as diesel sees them; `migrations/` says what each column is for.

diesel::table! {
    users (id) {
        id -> Text,
        email -> Text,
        created_at -> BigInt,
        known_since -> BigInt,
        password_hash -> Nullable<Text>,
        password_set_at -> Nullable<BigInt>,
        signed_links_epoch -> Integer,
        notification_links -> Bool,
        usual_networks_only -> Bool,
        announcements -> Bool,
        locked_at -> Nullable<BigInt>,
        reset_hold_since -> Nullable<BigInt>,
    }
}

diesel::table! {
    invitations (email) {
        email -> Text,
        invited_at -> BigInt,
    }
}

diesel::table! {
    links (token_hash) {
        token_hash -> Binary,
        purpose -> Text,
        email -> Text,
        user_id -> Nullable<Text>,
        /// As the release that made the column called it.
        #[sql_name = "ask_id"]
        link_request_id -> Nullable<Text>,
        code_mac -> Nullable<Binary>,
        code_tries -> Integer,
        wrong_addresses -> Integer,
        asked_at -> BigInt,
        expires_at -> BigInt,
        used_at -> Nullable<BigInt>,
        keep_until -> BigInt,
        session_id -> Nullable<Text>,
    }
}

diesel::table! {
    sessions (token_hash) {
        token_hash -> Binary,
        id -> Text,
        user_id -> Text,
        auth_method -> Text,
        shared -> Bool,
        created_at -> BigInt,
        last_seen_at -> BigInt,
        ip -> Text,
        browser -> Text,
        /// As the release that made the column called it: the password was all that there was to enter.
        #[sql_name = "password_entered_at"]
        reauthenticated_at -> Nullable<BigInt>,
        wants_new_token -> Bool,
        for_program -> Bool,
        token_epoch -> Integer,
        label -> Text,
        bound_at -> Nullable<BigInt>,
        passkey_used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    device_keys (session_id) {
        session_id -> Text,
        jwk -> Text,
        proven_at -> BigInt,
        proofs -> Integer,
        proofs_since -> BigInt,
        ip -> Text,
    }
}

diesel::table! {
    limits (name, subject) {
        name -> Text,
        subject -> Text,
        count -> BigInt,
        ends_at -> BigInt,
        about -> Nullable<Text>,
    }
}

diesel::table! {
    outbox (id) {
        id -> Text,
        letter -> Text,
        email -> Text,
        state -> Text,
        body -> Nullable<Binary>,
        link_hash -> Nullable<Binary>,
        queued_at -> BigInt,
        useful_until -> BigInt,
        due_at -> Nullable<BigInt>,
        tries -> Integer,
        settled_at -> Nullable<BigInt>,
        reason -> Nullable<Text>,
        leaves_no_trace -> Bool,
        /// As the release that made the column called it.
        #[sql_name = "urgency"]
        priority -> Integer,
        claim -> Nullable<Text>,
        sealed_by -> Nullable<Text>,
    }
}

diesel::table! {
    events (id) {
        id -> Text,
        user_id -> Text,
        at -> BigInt,
        name -> Text,
        detail -> Nullable<Text>,
        ip -> Text,
        browser -> Text,
        request_id -> Text,
        count -> BigInt,
        label -> Text,
    }
}

diesel::table! {
    announced (announcement, user_id) {
        announcement -> Binary,
        user_id -> Text,
        posted_at -> BigInt,
        subject -> Nullable<Binary>,
    }
}

diesel::table! {
    mail_bounces (user_id) {
        user_id -> Text,
        email -> Text,
        reported_at -> BigInt,
        posted_at -> BigInt,
        days -> Integer,
        no_mailbox -> Bool,
        status -> Text,
    }
}

diesel::table! {
    refresh_tokens (token_hash) {
        token_hash -> Binary,
        session_id -> Text,
        issued_at -> BigInt,
        expires_at -> BigInt,
        used_at -> Nullable<BigInt>,
        successor -> Nullable<Binary>,
    }
}

diesel::table! {
    known_programs (family) {
        family -> Binary,
        user_id -> Text,
        session_id -> Text,
        since -> BigInt,
    }
}

diesel::table! {
    passkeys (id) {
        id -> Text,
        user_id -> Text,
        credential_id -> Binary,
        public_key -> Binary,
        sign_count -> BigInt,
        backup_eligible -> Bool,
        backed_up -> Bool,
        aaguid -> Binary,
        transports -> Text,
        name -> Text,
        created_at -> BigInt,
        last_used_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    answered_challenges (hash) {
        hash -> Binary,
        ends_at -> BigInt,
    }
}

diesel::table! {
    signing_keys (id) {
        id -> Text,
        public -> Binary,
        sealed -> Binary,
        created_at -> BigInt,
        retired_at -> Nullable<BigInt>,
        signs_from -> BigInt,
    }
}

diesel::table! {
    key_probe (id) {
        id -> Integer,
        sealed_by -> Text,
        sealed -> Binary,
        sealed_at -> BigInt,
    }
}

diesel::joinable!(sessions -> users (user_id));
diesel::allow_tables_to_appear_in_same_query!(sessions, users);
diesel::allow_tables_to_appear_in_same_query!(links, outbox);
diesel::allow_tables_to_appear_in_same_query!(refresh_tokens, sessions);
