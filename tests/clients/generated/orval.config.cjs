module.exports = {
    doorpost: {
        input: "openapi.json",
        output: { target: "orval-client.ts", client: "fetch", baseUrl: process.env.SITE },
    },
};
