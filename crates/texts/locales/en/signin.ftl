# Signing in, and the second step.

signin = Sign in
signin-two-step = Two-step sign-in
signin-as = Signing in as { $login }.
signin-how = Use your email address and password.
signin-where = Your mail at { $host }.
signin-address = Email address
signin-password = Password
signin-code = Code
signin-code-hint = Enter the code from your authenticator app, or one of your recovery codes.
signin-forgot = Forgot your password? Ask your administrator to reset it.
signin-start-over = Start over
signin-wrong = Wrong email address or password.
signin-wrong-or-code = Wrong email address, password or code.
signin-wrong-code = That code is wrong. Enter the newest code from your app, or an unused recovery code.
signin-expired = That took too long, or there were too many attempts. Enter your password again.
signin-disabled = This account is disabled. Ask your administrator to enable it.
signin-too-many = Too many attempts. Try again in { $wait }.
signin-not-checked = Your password can’t be checked right now. Try again in a moment.
signin-codes-not-checked = This service can’t check codes from authenticator apps at the moment. That is a fault of the service, not yours. Enter one of your recovery codes, or try again later.
signin-not-now = You can’t sign in right now. Try again in a moment.
signin-enter-code = Enter the code or one of your recovery codes.
signin-enter-address = Enter your email address.
signin-enter-password = Enter your password.
