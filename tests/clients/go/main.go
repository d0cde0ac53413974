// x/oauth2 signs in and refreshes by itself: main SITE EMAIL PASSWORD. It gives nothing back: it has no word for it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"golang.org/x/oauth2"
)

func who(client *http.Client, site string) string {
	answer, err := client.Get(site + "/api/v1/me")
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	var me struct{ Email string }
	json.NewDecoder(answer.Body).Decode(&me)
	return me.Email
}

func main() {
	site, email, password := os.Args[1], os.Args[2], os.Args[3]
	ctx := context.Background()
	config := oauth2.Config{ClientID: "anything", Endpoint: oauth2.Endpoint{TokenURL: site + "/api/v1/tokens"}}
	if _, err := config.PasswordCredentialsToken(ctx, email, "wrong"); err == nil {
		panic("a wrong password was taken")
	}
	token, err := config.PasswordCredentialsToken(ctx, email, password)
	if err != nil {
		panic(err)
	}
	if who(config.Client(ctx, token), site) != email {
		panic("it did not sign in")
	}
	before := token.RefreshToken
	token.Expiry = time.Now().Add(-time.Minute)
	source := config.TokenSource(ctx, token)
	refreshed, err := source.Token()
	if err != nil || refreshed.RefreshToken == before {
		panic(fmt.Sprint("it did not refresh: ", err))
	}
	if who(oauth2.NewClient(ctx, source), site) != email {
		panic("it is not signed in after the refresh")
	}
	fmt.Println("x/oauth2: signed in, refreshed")
}
