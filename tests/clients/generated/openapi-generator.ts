import { Configuration, MeApi, TokensApi } from "./og-typescript-fetch";

const { SITE, EMAIL, PASSWORD } = process.env as Record<string, string>;

async function main() {
    const tokens = await new TokensApi(new Configuration({ basePath: SITE })).getTokens({
        tokenRequest: { grantType: "password", email: EMAIL, password: PASSWORD },
    });
    const me = await new MeApi(new Configuration({ basePath: SITE, accessToken: tokens.accessToken })).me();
    console.log("signed in as", me.email);
    if (me.email !== EMAIL) process.exit(1);
}

void main();
