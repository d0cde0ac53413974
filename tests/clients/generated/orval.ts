import { getTokens, me } from "./orval-client";

const { EMAIL, PASSWORD } = process.env as Record<string, string>;

async function main() {
    const granted = await getTokens({ grant_type: "password", email: EMAIL, password: PASSWORD });
    if (granted.status !== 200) throw granted.data;
    const who = await me({ headers: { Authorization: `Bearer ${granted.data.access_token}` } });
    if (who.status !== 200) throw who.data;
    console.log("signed in as", who.data.email);
    if (who.data.email !== EMAIL) process.exit(1);
}

void main();
