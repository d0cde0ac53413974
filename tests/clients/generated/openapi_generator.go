package main

import (
	"context"
	"fmt"
	"os"

	client "github.com/GIT_USER_ID/GIT_REPO_ID"
)

func main() {
	configuration := client.NewConfiguration()
	configuration.Servers = client.ServerConfigurations{{URL: os.Getenv("SITE")}}
	api := client.NewAPIClient(configuration)
	asked := client.NewTokenRequest(client.PASSWORD)
	asked.SetEmail(os.Getenv("EMAIL"))
	asked.SetPassword(os.Getenv("PASSWORD"))
	tokens, _, err := api.TokensAPI.GetTokens(context.Background()).TokenRequest(*asked).Execute()
	if err != nil {
		panic(err)
	}
	who := context.WithValue(context.Background(), client.ContextAccessToken, tokens.GetAccessToken())
	me, _, err := api.MeAPI.Me(who).Execute()
	if err != nil || me.Email != os.Getenv("EMAIL") {
		panic(fmt.Sprint(me, err))
	}
	fmt.Println("signed in as", me.Email)
}
