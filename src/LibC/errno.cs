namespace VhostXen.Linux; public static unsafe partial class LibC { }
