import createClient from "openapi-fetch";
import type { paths } from "./schema";

const { SITE, EMAIL, PASSWORD } = process.env as Record<string, string>;

async function main() {
    const api = createClient<paths>({ baseUrl: SITE });
    const body = { grant_type: "password" as const, email: EMAIL, password: PASSWORD };
    const { data: tokens, error } = await api.POST("/api/v1/tokens", { body });
    if (!tokens) throw error;
    const headers = { Authorization: `Bearer ${tokens.access_token}` };
    const { data: me } = await api.GET("/api/v1/me", { headers });
    console.log("signed in as", me?.email);
    if (me?.email !== EMAIL) process.exit(1);
}

void main();
