import { client } from "./hey-api/client.gen";
import { getTokens, me } from "./hey-api/sdk.gen";

const { SITE, EMAIL, PASSWORD } = process.env as Record<string, string>;

async function main() {
    client.setConfig({ baseUrl: SITE });
    const body = { grant_type: "password" as const, email: EMAIL, password: PASSWORD };
    const { data: tokens } = await getTokens({ body, throwOnError: true });
    const { data: who } = await me({ auth: () => tokens.access_token, throwOnError: true });
    console.log("signed in as", who.email);
    if (who.email !== EMAIL) process.exit(1);
}

void main();
