-- Asks Doorpost whether a request may pass, for HAProxy, which by itself cannot: /etc/haproxy/doorpost.lua, beside
-- haproxy.cfg, which calls it so:
--
--     http-request lua.doorpost-verify http://127.0.0.1:8080/auth/verify
--     http-request deny deny_status 503 unless { var(txn.doorpost_passes) -m bool }
--
-- The second line counts. If this program fails, HAProxy goes on as if it had never been called; and where Doorpost
-- gives no answer, it says nothing. Nobody is to get in because something broke.

-- What Doorpost is told of the request, besides what was asked for. Nothing else: no body, and no word of the visitor's
-- on who asks for what.
local TOLD = {
    "cookie", "user-agent", "accept", "accept-language", "referer", "x-requested-with",
    "sec-fetch-mode", "sec-fetch-site", "sec-fetch-dest", "sec-websocket-version",
}

-- What the app is told of the visitor. Whatever came by these names has been deleted before (haproxy.cfg).
local IDENTITY = { "remote-user", "remote-email", "remote-auth-method", "remote-auth-time", "remote-jwt" }

-- What the visitor is told of an answer that lets nobody pass.
local ANSWERED = {
    "location", "content-type", "content-language", "content-security-policy", "cache-control", "retry-after",
    "www-authenticate", "x-content-type-options", "referrer-policy", "vary",
}

-- In milliseconds, for each of the four times that HAProxy tries.
local PATIENCE = 2500

-- Larger than this, an answer does not fit into one of HAProxy's buffers (tune.bufsize), head and all.
local LARGEST_PAGE = 12000

-- The lines of a header, which HAProxy counts from 0, in a table that Lua keeps in order.
local function lines(header)
    local kept = {}
    while header and header[#kept] do
        kept[#kept + 1] = header[#kept]
    end
    return kept
end

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
        headers[name] = lines(came[name])
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
    txn:set_var("txn.doorpost_passes", true)
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
    if answer.status == 204 then
        pass(txn, answer)
    -- A 5xx without that header is what HAProxy itself says of a Doorpost that is away.
    elseif answer.status >= 300 and (answer.status < 500 or answer.headers["retry-after"]) then
        turn_away(txn, answer)
    end
end, 1)
