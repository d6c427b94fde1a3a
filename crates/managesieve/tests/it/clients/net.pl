use strict;
use warnings;
use utf8;
use Net::ManageSieve;
my ($port, $login, $password, $app, $certificate) = @ARGV;

sub connected {
    # The socket is connected already, so the name to check is to be given.
    my %tls = (mode => "require", SSL_ca_file => $certificate, SSL_hostname => "localhost",
        SSL_verifycn_name => "localhost", SSL_verifycn_scheme => "imap");
    my $client = Net::ManageSieve->new("localhost", Port => $port, tls => \%tls)
        or die "connect: $@";
    die "not encrypted" unless $client->encrypted();
    return $client;
}

my $client = connected();
die "a wrong password" if $client->login($login, "wrong");
$client = connected();
$client->login($login, $app) or die "login: " . $client->error();
$client->havespace("main", 100) or die "havespace";
my $script = "require \"fileinto\";\r\nfileinto \"A\";\r\n";
$client->putscript("main", $script) or die "put: " . $client->error();
die "a wrong script" if $client->putscript("wrong", "keep;\r\n  keeep;\r\n");
die "its line: " . $client->error() unless $client->error() =~ /line 2, column 3/;
my $scripts = $client->listscripts or die "list";
my $active = pop(@$scripts);
die "list: @$scripts" unless "@$scripts" eq "main" && !$active;
$client->setactive("main") or die "activate: " . $client->error();
$scripts = $client->listscripts or die "list";
$active = pop(@$scripts);
die "active: $active" unless $active eq "main";
my $text = $client->getscript("main");
$text =~ s/\s+/ /g;
die "get: $text" unless $text =~ /^require "fileinto"; fileinto "A"; ?$/;
die "the active one" if $client->deletescript("main");
$client->putscript("kept", "keep;\r\n") or die "put";
$client->setactive("kept") or die "activate";
$client->deletescript("main") or die "delete: " . $client->error();
$client->logout;
print "done\n";
