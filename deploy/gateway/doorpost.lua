-- Asks Doorpost whether a request may pass, for HAProxy, which by itself cannot: /etc/haproxy/doorpost.lua, beside
-- haproxy.cfg, which calls it so:
--
--     http-request lua.doorpost-verify http://127.0.0.1:8080/auth/verify
--
-- It passes, with what Doorpost says of the visitor, only if Doorpost says so. An answer that is none, or cannot be
-- had in time, is a 503: nobody gets in because something broke.

-- What Doorpost is told of the request, besides what was asked for. Nothing else: no body, and no word of the visitor's
-- on who asks for what.
local TOLD = {
    "cookie", "user-agent", "accept", "accept-language", "referer", "x-requested-with",
    "sec-fetch-mode", "sec-fetch-site", "sec-fetch-dest", "sec-websocket-key",
}

-- What the app is told of the visitor. Whatever came by these names has been deleted before (haproxy.cfg).
local IDENTITY = { "remote-user", "remote-email", "remote-auth-method", "remote-auth-time", "remote-jwt" }

-- What the visitor is told of an answer that lets nobody pass.
local ANSWERED = {
    "location", "content-type", "content-language", "content-security-policy", "cache-control", "retry-after",
    "www-authenticate", "x-content-type-options", "referrer-policy", "vary",
}

local PATIENCE = 10000 -- ms

-- Larger than this, an answer does not fit into one of HAProxy's buffers (tune.bufsize), head and all.
local LARGEST_PAGE = 12000

local function question(txn)
    local came = txn.http:req_get_headers()
    local headers = {
        ["x-forwarded-for"] = { txn.sf:src() },
        ["x-forwarded-proto"] = { "https" },
        ["x-forwarded-method"] = { txn.sf:method() },
        ["x-forwarded-host"] = { txn.sf:req_fhdr("host") },
        ["x-forwarded-uri"] = { txn.sf:pathq() },
    }
    for _, name in ipairs(TOLD) do
        headers[name] = came[name]
    end
    return headers
end

local function pass(txn, answer)
    for _, name in ipairs(IDENTITY) do
        local value = answer.headers[name]
        if value then
            txn.http:req_set_header(name, value[0])
        end
    end
    -- The visitor's cookies without Doorpost's, which is no business of the app.
    txn.http:req_del_header("cookie")
    if answer.headers["cookie"] then
        txn.http:req_set_header("cookie", answer.headers["cookie"][0])
    end
end

local function turn_away(txn, answer)
    local headers = {}
    for _, name in ipairs(ANSWERED) do
        local values = answer.headers[name]
        if values then
            headers[name] = { values[0] }
        end
    end
    local page = answer.body
    if #page > LARGEST_PAGE then
        page = ""
    end
    txn:done(txn:reply({ status = answer.status, headers = headers, body = page }))
end

core.register_action("doorpost-verify", { "http-req" }, function(txn, url)
    local answer = core.httpclient():get({ url = url, headers = question(txn), timeout = PATIENCE })
    if answer.status >= 200 and answer.status < 300 then
        pass(txn, answer)
    else
        turn_away(txn, answer)
    end
end, 1)
