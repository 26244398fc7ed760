namespace XenModel.Guests;

/// <summary>A guest saw something that must not be: wrong data, a wrong register, an answer that never comes.</summary>
public sealed class GuestCheckException(string message) : Exception(message);
